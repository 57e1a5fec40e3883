import { useEffect, useRef, useState } from "react";
import { GONE, Problem } from "../../api/client";
import { cancelJob, type Job } from "../../api/clusters";
import { count } from "../../lib/format";
import { go } from "../../lib/route";
import { useSettings, useWords, useWordsOf } from "../../lib/settings";
import { Notice, ProblemNotice } from "../../parts/Notice";
import { useJob } from "./job";
import { Place } from "./Place";
import { nextRound } from "./rounds";
import { EMPTY, formatClusters, hrefOf, USUAL, type Wanted } from "./state";
import { WORDS } from "./words";

/** A clustering that is being made; it is opened when it is there. */
export function JobPage({ uid }: { uid: string }) {
  const t = useWords();
  const w = useWordsOf(WORDS);
  const [problem, setProblem] = useState<Problem>();
  const [job, setJob] = useState<Job>();
  const name = String(job?.parameters.name ?? "");
  function ended(told: Job): void {
    setJob(told);
    nextRound();
    const run = told.result?.run;
    if (told.state === "done" && typeof run === "string")
      go({ view: "clusters", params: formatClusters({ ...EMPTY, run }) }, "replace");
  }
  async function cancel(): Promise<void> {
    setProblem(undefined);
    try {
      await cancelJob(uid);
    } catch (error) {
      setProblem(error instanceof Problem ? error : new Problem(0, GONE, ""));
    }
  }
  const settings = job && (
    <a className="button" href={hrefOf({ wanted: wantedOf(job) })}>
      {w.jobSettings}
    </a>
  );
  return (
    <>
      <Place />
      <h1>{w.jobTitle(name)}</h1>
      {!job?.ended_at && (
        <div className="job">
          <Progress uid={uid} onHeard={setJob} onEnd={ended} onCancel={() => void cancel()} />
          <p className="none">{w.jobGoesOn}</p>
        </div>
      )}
      {problem && <ProblemNotice problem={problem} retry={() => void cancel()} />}
      {job?.state === "stopped" && (
        <Notice kind="info" title={w.jobStopped} actions={settings}>
          {w.jobStoppedText}
        </Notice>
      )}
      {job?.state === "failed" && (
        <Notice kind="error" title={w.jobFailed} actions={settings}>
          {job.error}
        </Notice>
      )}
      <footer>{t.research}</footer>
    </>
  );
}

interface ProgressProps {
  uid: string;
  onHeard?: (job: Job) => void;
  onEnd: (job: Job) => void;
  onCancel: () => void;
}

/** How far a job is, as it goes on. */
export function Progress({ uid, onHeard, onEnd, onCancel }: ProgressProps) {
  const w = useWordsOf(WORDS);
  const { language } = useSettings();
  const { job, problem } = useJob(uid);
  const acts = useRef({ onHeard, onEnd });
  acts.current = { onHeard, onEnd };
  useEffect(() => {
    if (!job) return;
    if (job.ended_at) acts.current.onEnd(job);
    else acts.current.onHeard?.(job);
  }, [job]);
  const total = job?.total ?? 0;
  const share = total ? (job?.done ?? 0) / total : undefined;
  const said = !job || job.state === "queued" ? w.jobQueued : job.what || w.jobRunning;
  return (
    <div className="progress">
      <div className="progress-words" role="status">
        <strong>{job?.cancelled ? w.jobStopping : said}</strong>
        {total > 1 && (
          <span>{w.jobOf(count(job?.done ?? 0, language), count(total, language))}</span>
        )}
      </div>
      <div className={share === undefined ? "progress-bar open-end" : "progress-bar"}>
        <span style={{ width: `${100 * (share ?? 1)}%` }} />
      </div>
      <button type="button" className="button" disabled={!job || job.cancelled} onClick={onCancel}>
        {w.jobStop}
      </button>
      {problem && <ProblemNotice problem={problem} />}
    </div>
  );
}

/** The form as it was when the job was asked for. */
function wantedOf({ parameters }: Job): Wanted {
  const text = (value: unknown) => (value === null || value === undefined ? "" : String(value));
  const { options } = parameters;
  return {
    ...USUAL,
    method: text(parameters.method),
    name: text(parameters.name),
    count: text(parameters.n_clusters),
    encoder: text(parameters.encoder),
    filter: text(parameters.filter),
    seed: parameters.seed === 0 ? "" : text(parameters.seed),
    options:
      typeof options === "object" && options !== null
        ? Object.entries(options).map(([name, value]) => [name, text(value)])
        : [],
  };
}
