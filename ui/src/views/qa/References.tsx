import { useState } from "react";
import type { Reference } from "../../api/qa";
import * as api from "../../api/qa";
import { useAsked } from "../../lib/ask";
import { count } from "../../lib/format";
import { isOver } from "../../lib/jobs";
import { useKeys } from "../../lib/keys";
import { useSettings, useWordsOf } from "../../lib/settings";
import { Icon } from "../../parts/Icon";
import { Notice } from "../../parts/Notice";
import { useFinished } from "./asking";
import { FitForm, JudgeForm } from "./Forms";
import { share, when } from "./figures";
import { useJobs } from "./following";
import { JobLine } from "./JobLine";
import type { Update } from "./QaView";
import { ReferenceReport } from "./ReferenceReport";
import type { QaState } from "./state";
import { WORDS } from "./words";

interface ReferencesProps {
  state: QaState;
  references: Reference[];
  reference?: Reference;
  update: Update;
}

/** What is usual: the reference sets, what each was made of, and what it can tell apart. */
export function References({ state, references, reference, update }: ReferencesProps) {
  const w = useWordsOf(WORDS);
  const { language } = useSettings();
  const [asking, setAsking] = useState<"fit" | "judge" | undefined>();
  const fits = useAsked(`fits ${useFinished()}`, (signal) => api.jobs("ood-fit", signal));
  const newest = fits.data?.rows[0];
  const fitting = newest && (!isOver(newest) || newest.state === "failed") ? newest : undefined;
  useKeys({ n: () => setAsking("fit") });
  return (
    <div className="references">
      <div className="qa-bar">
        <h2>{w.allReferences}</h2>
        <button type="button" className="button" onClick={() => setAsking("fit")}>
          <Icon name="plus" size={16} /> {w.newReference} <kbd>n</kbd>
        </button>
        {reference && (
          <button type="button" className="button" onClick={() => setAsking("judge")}>
            <Icon name="play" size={16} /> {w.judge}
          </button>
        )}
      </div>
      {fitting && (
        <JobLine
          key={fitting.id}
          job={fitting}
          title={`${w.newReference}: ${String(fitting.parameters.name ?? "")}`}
          onEnd={(job) =>
            job.state === "done" && update({ reference: String(job.parameters.name ?? "") })
          }
        />
      )}
      {reference && <Judging reference={reference} update={update} />}
      {references.length === 0 ? (
        <Notice
          kind="info"
          title={w.noReferences}
          actions={
            <button type="button" className="button accent" onClick={() => setAsking("fit")}>
              {w.makeFirst}
            </button>
          }
        >
          {w.noReferencesDo}
        </Notice>
      ) : (
        <div className="references-panes">
          <ol className="reference-list" aria-label={w.allReferences}>
            {[...references].reverse().map((each) => (
              <li key={each.name}>
                <button
                  type="button"
                  aria-current={each === reference ? "true" : undefined}
                  onClick={() => update({ reference: each.name, tab: state.tab })}
                >
                  <strong>{each.name}</strong>
                  <span>
                    {w.items(count(each.items, language))} · {share(each.alarm)}
                  </span>
                  <span>{when(each.created_at, language)}</span>
                </button>
              </li>
            ))}
          </ol>
          {reference && <ReferenceReport reference={reference} />}
        </div>
      )}
      {asking === "fit" && <FitForm onClose={() => setAsking(undefined)} />}
      {asking === "judge" && reference && (
        <JudgeForm reference={reference} onClose={() => setAsking(undefined)} />
      )}
    </div>
  );
}

/** The last time that the library was judged by a reference, while it runs and when it is done. */
function Judging({ reference, update }: { reference: Reference; update: Update }) {
  const w = useWordsOf(WORDS);
  const { language } = useSettings();
  const [newest] = useJobs("ood-score", reference.name).data ?? [];
  if (!newest) return null;
  return (
    <JobLine key={newest.id} job={newest} title={w.judge}>
      {(job) => (
        <Notice
          kind="info"
          title={w.judge}
          actions={
            <button
              type="button"
              className="button small"
              onClick={() => update({ tab: "incoming" })}
            >
              {w.seeThem}
            </button>
          }
        >
          {w.judged(
            count(Number(job.result?.studies ?? 0), language),
            count(Number(job.result?.flagged ?? 0), language),
          )}{" "}
          {when(job.ended_at, language)}
        </Notice>
      )}
    </JobLine>
  );
}
