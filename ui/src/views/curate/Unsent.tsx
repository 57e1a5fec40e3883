import { useWordsOf } from "../../lib/settings";
import { Notice } from "../../parts/Notice";
import { drain, settleConflict, settleRefused, useUnsent } from "./unsent";
import { WORDS } from "./words";

/** Decisions that did not arrive, and why: nothing is lost, and each has a way on. */
export function Unsent({ onLook }: { onLook: (queue: string, subject: string) => void }) {
  const t = useWordsOf(WORDS);
  const { entries, conflicts, refused, waiting } = useUnsent();
  const button = (label: string, act: () => void) => (
    <button type="button" className="button small" onClick={act}>
      {label}
    </button>
  );
  return (
    <>
      {waiting && entries.length > 0 && (
        <Notice
          kind="warn"
          title={t.unsent(entries.length)}
          actions={button(t.sendNow, () => void drain())}
        >
          {t.unsentText}
        </Notice>
      )}
      {conflicts.map((each) => (
        <Notice
          key={each.entry.id}
          kind="warn"
          title={t.quicker(each.now.by || "?")}
          actions={
            <span className="notice-row">
              {button(t.leave, () => settleConflict(each, false))}
              {button(t.insist, () => settleConflict(each, true))}
              {button(t.look, () => onLook(each.entry.queue, each.entry.subject))}
            </span>
          }
        >
          {t.quickerText(
            [t.verdicts[each.now.verdict], each.now.comment && `“${each.now.comment}”`]
              .filter(Boolean)
              .join(", "),
            [t.verdicts[each.entry.verdict], each.entry.comment && `“${each.entry.comment}”`]
              .filter(Boolean)
              .join(", "),
          )}
        </Notice>
      ))}
      {refused.map((each) => (
        <Notice
          key={each.entry.id}
          kind="error"
          title={t.refused}
          actions={
            <span className="notice-row">
              {button(t.sendNow, () => settleRefused(each, true))}
              {button(t.drop, () => settleRefused(each, false))}
              {button(t.look, () => onLook(each.entry.queue, each.entry.subject))}
            </span>
          }
        >
          {each.problem.message}
        </Notice>
      ))}
    </>
  );
}
