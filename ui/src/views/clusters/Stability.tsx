import { useState } from "react";
import { GONE, Problem } from "../../api/client";
import { askFor, cancelJob, type Job, type Run } from "../../api/clusters";
import { useSettings, useWordsOf } from "../../lib/settings";
import { ProblemNotice } from "../../parts/Notice";
import type { Firmness } from "./asking";
import { Progress } from "./JobPage";
import { day } from "./names";
import { nextRound } from "./rounds";
import { WORDS } from "./words";

interface StabilityProps {
  run: Run | undefined;
  firmness: Firmness | undefined;
}

/** How far a clustering comes out alike when it is done again. */
export function Stability({ run, firmness }: StabilityProps) {
  const w = useWordsOf(WORDS);
  const [begun, setBegun] = useState<Job>();
  const [problem, setProblem] = useState<Problem>();
  const measured = firmness?.measured;
  const now = firmness?.measuring ?? begun;
  async function measure(): Promise<void> {
    if (!run) return;
    setProblem(undefined);
    try {
      setBegun(await askFor("cluster-stability", { run: run.name }));
    } catch (error) {
      setProblem(error instanceof Problem ? error : new Problem(0, GONE, ""));
    }
  }
  function ended(): void {
    setBegun(undefined);
    nextRound();
  }
  return (
    <section className="stability" aria-label={w.stability}>
      <div className="stability-words">
        <h2>{w.stability}</h2>
        <p>{w.stabilityWhat}</p>
      </div>
      {measured && <Measured job={measured} />}
      {now ? (
        <Progress uid={now.id} onEnd={ended} onCancel={() => void cancelJob(now.id)} />
      ) : (
        <button
          type="button"
          className="button"
          title={w.measureCost}
          disabled={!firmness}
          onClick={() => void measure()}
        >
          {measured ? w.measureAgain : w.measureStability}
        </button>
      )}
      {problem && <ProblemNotice problem={problem} retry={() => void measure()} />}
    </section>
  );
}

interface Agreement {
  mean: number;
  lowest: number;
}

function agreementOf(value: unknown): Agreement | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const said = new Map<string, unknown>(Object.entries(value));
  const [mean, lowest] = [said.get("mean"), said.get("lowest")];
  return typeof mean === "number" && typeof lowest === "number" ? { mean, lowest } : undefined;
}

function Measured({ job }: { job: Job }) {
  const w = useWordsOf(WORDS);
  const { language } = useSettings();
  const figure = (name: string, value: unknown) => {
    const found = agreementOf(value);
    if (!found) return null;
    return (
      <div>
        <dt>{name}</dt>
        <dd>
          {found.mean.toFixed(2)} <span>{w.atLeast(found.lowest.toFixed(2))}</span>
        </dd>
      </div>
    );
  };
  return (
    <dl className="figures" title={day(job.ended_at, language)}>
      {figure(w.seeds, job.result?.seeds)}
      {figure(w.subsamples, job.result?.subsamples)}
    </dl>
  );
}
