import { useState } from "react";
import type { SearchAnswer } from "../../api/client";
import { remember, remembered, useWords } from "../../lib/settings";
import { Notice } from "../../parts/Notice";
import type { Said } from "./said";

interface BannersProps {
  answer: SearchAnswer | undefined;
  unlike: Said | undefined;
}

/** What must be known to read the results: the query is unusual, the encoder is no clinical one. */
export function Banners({ answer, unlike }: BannersProps) {
  const t = useWords();
  const [seen, setSeen] = useState(remembered("built-in-seen"));
  return (
    <>
      {unlike && (
        <Notice kind="warn" title={t.oodTitle(unlike.reference)}>
          {unlike.reason && <>{sentence(unlike.reason)} </>}
          {t.oodText(unlike.p_value.toFixed(unlike.p_value < 0.01 ? 3 : 2))}
        </Notice>
      )}
      {answer?.notice && !seen && (
        <Notice
          kind="info"
          title={t.builtIn}
          actions={
            <button
              type="button"
              className="button quiet small"
              onClick={() => {
                remember("built-in-seen", "1");
                setSeen(true);
              }}
            >
              {t.dismiss}
            </button>
          }
        >
          {t.builtInText}
        </Notice>
      )}
      {answer && answer.notes.length > 0 && (
        <details className="notes">
          <summary>{t.notes(answer.notes.length)}</summary>
          <ul>
            {answer.notes.map((note) => (
              <li key={note}>{sentence(note)}</li>
            ))}
          </ul>
        </details>
      )}
    </>
  );
}

const sentence = (text: string): string =>
  `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
