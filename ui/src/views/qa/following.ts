import { useEffect, useRef, useState } from "react";
import type { Job } from "../../api/qa";
import * as api from "../../api/qa";
import { type Asked, useAsked } from "../../lib/ask";
import { jobFinished, useFinished } from "./asking";

export const ended = (job: Job): boolean => ["done", "failed", "stopped"].includes(job.state);

/** A job as it goes on, by server-sent events; a lost connection is made anew by the browser. */
export function useFollowed(first: Job, onEnd?: (job: Job) => void): Job {
  const [job, setJob] = useState(first);
  const told = useRef(onEnd);
  told.current = onEnd;
  const over = ended(first);
  useEffect(() => {
    if (over) return;
    const source = new EventSource(api.eventsUrl(first.id));
    const take = (event: MessageEvent<string>): Job => {
      const now: Job = JSON.parse(event.data);
      setJob(now);
      return now;
    };
    source.addEventListener("progress", take);
    source.addEventListener("end", (event) => {
      source.close();
      const now = take(event);
      jobFinished();
      told.current?.(now);
    });
    return () => source.close();
  }, [first.id, over]);
  return job.id === first.id ? job : first;
}

/** Jobs of a kind that were asked for about a reference, the newest first. */
export function useJobs(kind: string, reference: string): Asked<Job[]> {
  return useAsked(`jobs ${kind} ${reference} ${useFinished()}`, async (signal) => {
    const { rows } = await api.jobs(kind, signal);
    return rows.filter((job) => (job.parameters.reference ?? job.parameters.name) === reference);
  });
}
