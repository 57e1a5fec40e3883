import { useCallback, useEffect, useRef, useState } from "react";
import { Problem } from "../../api/client";
import * as api from "../../api/map";
import { listenToJob } from "../../lib/jobs";
import { useWords, useWordsOf } from "../../lib/settings";
import { Notice, ProblemNotice } from "../../parts/Notice";
import { WORDS } from "./words";

type Kind = "map" | "map-place";

interface MakingProps {
  kind: Kind;
  which: api.Which;
  label: string;
  onMade: () => void;
}

/** Asks for a map, or for pictures to be placed on one, and tells how far that is. */
export function Making({ kind, which, label, onMade }: MakingProps) {
  const t = useWordsOf(WORDS);
  const words = useWords();
  const { job, problem, broken, ask, stop } = useJob(kind, which, onMade);
  const going = job && ["queued", "running"].includes(job.state);
  if (going)
    return (
      <div className="making" role="status">
        <strong>{t.job[kind]}</strong>
        <progress {...(job.total > 0 && { value: job.done, max: job.total })} aria-label={label} />
        <span>
          {job.state === "queued" ? t.jobQueued : job.what}
          {job.total > 0 && ` ${job.done} / ${job.total}`}
        </span>
        {broken && <span>{t.jobWatch}</span>}
        <button type="button" className="button small" onClick={stop} disabled={job.cancelled}>
          {t.jobStop}
        </button>
      </div>
    );
  return (
    <div className="making">
      {job?.state === "failed" && (
        <Notice kind="error" title={t.jobFailed}>
          {job.error}
        </Notice>
      )}
      {job?.state === "stopped" && <Notice kind="info" title={t.jobStopped} />}
      {problem?.status === 403 ? (
        <Notice kind="info" title={words.deniedTitle}>
          {t.denied}
        </Notice>
      ) : problem ? (
        <ProblemNotice problem={problem} retry={ask} />
      ) : (
        <button type="button" className="button accent" onClick={ask}>
          {label}
        </button>
      )}
    </div>
  );
}

interface Followed {
  job: api.Job | null;
  problem: Problem | undefined;
  /** Its progress cannot be followed at the moment. */
  broken: boolean;
  ask: () => void;
  stop: () => void;
}

function useJob(kind: Kind, which: api.Which, onMade: () => void): Followed {
  const [job, setJob] = useState<api.Job | null>(null);
  const [problem, setProblem] = useState<Problem | undefined>();
  const [broken, setBroken] = useState(false);
  const made = useRef(onMade);
  made.current = onMade;
  const failed = useCallback((error: unknown) => {
    setProblem(error instanceof Problem ? error : new Problem(0, "page", String(error)));
  }, []);

  // One that somebody has asked for already is followed; who may not see jobs may not ask either.
  useEffect(() => {
    const controller = new AbortController();
    api
      .running(kind, controller.signal)
      .then((found) => setJob((now) => now ?? found))
      .catch(() => undefined);
    return () => controller.abort();
  }, [kind]);

  const id = job?.id;
  useEffect(() => {
    if (!id) return;
    return listenToJob(
      id,
      (next) => {
        setBroken(false);
        setJob(next);
        if (next.state === "done") made.current();
      },
      () => setBroken(true),
    );
  }, [id]);

  const ask = () => {
    setProblem(undefined);
    api.askFor(kind, which).then(setJob).catch(failed);
  };
  const stop = () => {
    if (id) api.cancelJob(id).then(setJob).catch(failed);
  };
  return { job, problem, broken, ask, stop };
}
