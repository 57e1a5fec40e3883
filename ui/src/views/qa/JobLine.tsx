import { type ReactNode, useState } from "react";
import type { Problem } from "../../api/client";
import type { Job } from "../../api/qa";
import * as api from "../../api/qa";
import { count } from "../../lib/format";
import { isOver } from "../../lib/jobs";
import { useSettings, useWordsOf } from "../../lib/settings";
import { Notice, ProblemNotice } from "../../parts/Notice";
import { sentence } from "./figures";
import { useFollowed } from "./following";
import { WORDS } from "./words";

interface JobLineProps {
  job: Job;
  title: string;
  onEnd?: (job: Job) => void;
  /** What is shown when it is done. */
  children?: (job: Job) => ReactNode;
}

/** A job while it runs, and how it ended. */
export function JobLine({ job: first, title, onEnd, children }: JobLineProps) {
  const w = useWordsOf(WORDS);
  const { language } = useSettings();
  const job = useFollowed(first, onEnd);
  const [trouble, setTrouble] = useState<Problem | undefined>();
  if (trouble) return <ProblemNotice problem={trouble} />;
  if (job.state === "failed" || job.state === "stopped")
    return (
      <Notice kind={job.state === "failed" ? "error" : "info"} title={`${title}: ${w[job.state]}`}>
        {job.error && sentence(job.error)}
      </Notice>
    );
  if (job.state === "done") return children?.(job) ?? null;
  const said = job.total > 0 ? w.ofSo(count(job.done, language), count(job.total, language)) : "";
  return (
    <div className="job-line" role="status">
      <strong>{title}</strong>
      <progress
        max={job.total || 1}
        {...(job.total ? { value: job.done } : {})}
        aria-label={title}
      />
      <span>{job.state === "queued" ? w.queued : `${w.running}: ${job.what} ${said}`}</span>
      <button
        type="button"
        className="button small"
        disabled={job.cancelled || isOver(job)}
        onClick={() => api.cancelJob(job.id).catch(setTrouble)}
      >
        {w.stop}
      </button>
    </div>
  );
}
