import { type ReactNode, useState } from "react";
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
  return (
    <>
      {unlike && (
        <Notice kind="warn" title={t.oodTitle(unlike.reference)}>
          {unlike.reason && <>{sentence(unlike.reason)} </>}
          {t.oodText(unlike.p_value.toFixed(unlike.p_value < 0.01 ? 3 : 2))}
        </Notice>
      )}
      {answer?.notice && (
        <Once name="built-in-seen" title={t.builtIn}>
          {t.builtInText}
        </Once>
      )}
      {answer && answer.hits.length > 0 && (
        <Once name="first-seen" title={t.firstTitle}>
          {t.firstText}
        </Once>
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

/** Said until somebody has understood it, and never again in this browser. */
function Once({ name, title, children }: { name: string; title: string; children: ReactNode }) {
  const t = useWords();
  const [seen, setSeen] = useState(remembered(name));
  if (seen) return null;
  const dismiss = () => {
    remember(name, "1");
    setSeen(true);
  };
  return (
    <Notice
      kind="info"
      title={title}
      actions={
        <button type="button" className="button quiet small" onClick={dismiss}>
          {t.dismiss}
        </button>
      }
    >
      {children}
    </Notice>
  );
}

const sentence = (text: string): string =>
  `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
