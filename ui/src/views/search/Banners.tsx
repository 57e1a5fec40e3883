import { useState } from "react";
import type { SearchAnswer } from "../../api/client";
import { decimal } from "../../lib/format";
import { remember, remembered, useSettings, useWords } from "../../lib/settings";
import { Icon } from "../../parts/Icon";
import { Notice } from "../../parts/Notice";
import type { Said } from "./said";

interface BannersProps {
  answer: SearchAnswer | undefined;
  unlike: Said | undefined;
}

/** What must be known to read the results: the query is unusual, the encoder is no clinical one. */
export function Banners({ answer, unlike }: BannersProps) {
  return (
    <>
      <Remarks notes={answer?.notes ?? []} unlike={unlike} />
      {answer && answer.hits.length > 0 && <Once builtIn={answer.notice !== ""} />}
    </>
  );
}

interface RemarksProps {
  notes: readonly string[];
  unlike: Said | undefined;
}

/**
 * That the query is unlike a reference, and what was left out of the search: a line whose place is
 * kept, for the verdict comes a moment after the hits and moves none of them. Each can be opened.
 */
function Remarks({ notes, unlike }: RemarksProps) {
  const t = useWords();
  const { language } = useSettings();
  const [open, setOpen] = useState<"" | "unlike" | "notes">("");
  const toggle = (which: "unlike" | "notes") => () => setOpen(open === which ? "" : which);
  const title = unlike ? t.oodTitle(unlike.reference) : "";
  return (
    <div className="remarks">
      <span className="sr" role="status">
        {title}
      </span>
      <div className="remarks-line">
        {unlike && (
          <button
            type="button"
            className="remark unlike"
            aria-expanded={open === "unlike"}
            onClick={toggle("unlike")}
          >
            <Icon name="warn" size={16} /> <strong>{title}</strong>
          </button>
        )}
        {notes.length > 0 && (
          <button
            type="button"
            className="remark"
            aria-expanded={open === "notes"}
            onClick={toggle("notes")}
          >
            {t.notes(notes.length)}
          </button>
        )}
      </div>
      {open === "unlike" && unlike && (
        <p>
          {unlike.reason && <>{sentence(unlike.reason)} </>}
          {t.oodText(decimal(unlike.p_value, unlike.p_value < 0.01 ? 3 : 2, language))}
        </p>
      )}
      {open === "notes" && (
        <ul>
          {notes.map((note) => (
            <li key={note}>{sentence(note)}</li>
          ))}
        </ul>
      )}
    </div>
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
