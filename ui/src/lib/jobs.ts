import type { Job } from "../api/jobs";

/** Whether nothing will change any more. */
export const isOver = (job: Job): boolean => ["done", "failed", "stopped"].includes(job.state);

/**
 * Hear of a job until it has ended. `broken` is told of each break, and whether the browser has
 * given up; else it connects again by itself. What is given back ends the listening.
 */
export function listenToJob(
  uid: string,
  heard: (job: Job) => void,
  broken?: (forGood: boolean) => void,
): () => void {
  const source = new EventSource(`/v1/jobs/${encodeURIComponent(uid)}/events`);
  const take = (event: MessageEvent<string>) => {
    const job: Job = JSON.parse(event.data);
    if (isOver(job)) source.close();
    heard(job);
  };
  source.addEventListener("progress", take);
  source.addEventListener("end", take);
  source.addEventListener("error", () => broken?.(source.readyState === EventSource.CLOSED));
  return () => source.close();
}
