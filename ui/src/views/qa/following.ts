import { useEffect, useRef, useState } from "react";
import type { Job } from "../../api/qa";
import * as api from "../../api/qa";
import { type Asked, useAsked } from "../../lib/ask";
import { isOver, listenToJob } from "../../lib/jobs";
import { jobFinished, useFinished } from "./asking";

/** A job as it goes on, by server-sent events; a lost connection is made anew by the browser. */
export function useFollowed(first: Job, onEnd?: (job: Job) => void): Job {
  const [job, setJob] = useState(first);
  const told = useRef(onEnd);
  told.current = onEnd;
  const gone = isOver(first);
  useEffect(() => {
    if (gone) return;
    return listenToJob(first.id, (now) => {
      setJob(now);
      if (!isOver(now)) return;
      jobFinished();
      told.current?.(now);
    });
  }, [first.id, gone]);
  return job.id === first.id ? job : first;
}

/** Jobs of a kind that were asked for about a reference, the newest first. */
export function useJobs(kind: string, reference: string): Asked<Job[]> {
  return useAsked(`jobs ${kind} ${reference} ${useFinished()}`, async (signal) => {
    const { rows } = await api.jobs(kind, signal);
    return rows.filter((job) => (job.parameters.reference ?? job.parameters.name) === reference);
  });
}
