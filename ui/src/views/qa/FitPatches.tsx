import { useState } from "react";
import { Problem } from "../../api/client";
import type { Job, Reference } from "../../api/qa";
import * as api from "../../api/qa";
import { isOver } from "../../lib/jobs";
import { useWordsOf } from "../../lib/settings";
import { ProblemNotice } from "../../parts/Notice";
import { useJobs } from "./following";
import { JobLine } from "./JobLine";
import { WORDS } from "./words";

/** Says that a reference draws no heat yet, and has its patches fitted. */
export function FitPatches({ reference }: { reference: Reference }) {
  const w = useWordsOf(WORDS);
  const before = useJobs("ood-patches", reference.name);
  const [asked, setAsked] = useState<Job | undefined>();
  const [trouble, setTrouble] = useState<Problem | undefined>();
  const job = asked ?? before.data?.find((each) => !isOver(each));
  if (job) return <JobLine key={job.id} job={job} title={w.heatFit} />;
  async function fit(): Promise<void> {
    setTrouble(undefined);
    try {
      setAsked(await api.askFor("ood-patches", { reference: reference.name }));
    } catch (error) {
      setTrouble(error instanceof Problem ? error : new Problem(0, "page", String(error)));
    }
  }
  return (
    <>
      <div className="heat-none">
        <p>{w.heatNone}</p>
        <button type="button" className="button small" onClick={fit}>
          {w.heatFit}
        </button>
      </div>
      {trouble && <ProblemNotice problem={trouble} retry={fit} />}
    </>
  );
}
