import { useState } from "react";
import type { SearchAnswer } from "../../api/client";
import { decimal } from "../../lib/format";
import { remember, remembered, useSettings, useWords } from "../../lib/settings";
import { Notice } from "../../parts/Notice";
import type { Said } from "./said";

interface BannersProps {
  answer: SearchAnswer | undefined;
  unlike: Said | undefined;
}

/** What must be known to read the results: the query is unusual, the encoder is no clinical one. */
export function Banners({ answer, unlike }: BannersProps) {
  const t = useWords();
  const { language } = useSettings();
  return (
    <>
      {unlike && (
        <Notice kind="warn" title={t.oodTitle(unlike.reference)}>
          {unlike.reason && <>{sentence(unlike.reason)} </>}
          {t.oodText(decimal(unlike.p_value, unlike.p_value < 0.01 ? 3 : 2, language))}
        </Notice>
      )}
      {answer && answer.hits.length > 0 && <Once builtIn={answer.notice !== ""} />}
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

const BUILT_IN = "built-in-seen";
const FIRST = "first-seen";

/**
 * That the encoder is the built-in one, and on the first visit how to read the results: both in one
 * place, until somebody has understood it, and never again in this browser.
 */
function Once({ builtIn }: { builtIn: boolean }) {
  const t = useWords();
  const [seen, setSeen] = useState({ builtIn: remembered(BUILT_IN), first: remembered(FIRST) });
  const encoder = builtIn && !seen.builtIn;
  if (!encoder && seen.first) return null;
  const dismiss = () => {
    if (encoder) remember(BUILT_IN, "1");
    remember(FIRST, "1");
    setSeen({ builtIn: seen.builtIn || encoder, first: true });
  };
  return (
    <Notice
      kind="info"
      title={encoder ? t.builtIn : t.firstTitle}
      actions={
        <button type="button" className="button quiet small" onClick={dismiss}>
          {t.dismiss}
        </button>
      }
    >
      {encoder && t.builtInText}
      {!seen.first && <span className="first-visit">{t.firstText}</span>}
    </Notice>
  );
}

const sentence = (text: string): string =>
  `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
