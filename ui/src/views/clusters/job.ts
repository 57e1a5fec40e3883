import { useEffect, useState } from "react";
import { Problem } from "../../api/client";
import { type Job, job as told } from "../../api/clusters";
import { isOver, listenToJob } from "../../lib/jobs";

export interface Followed {
  job: Job | undefined;
  /** Why nothing is heard of it just now. */
  problem: Problem | undefined;
}

const AGAIN_MS = 3000;

/** A job as it goes on, by server-sent events; where these break off it is asked for until they come. */
export function useJob(uid: string): Followed {
  const [followed, change] = useState<Followed>({ job: undefined, problem: undefined });
  useEffect(() => {
    if (!uid) return;
    const controller = new AbortController();
    let stop = () => {};
    let timer: ReturnType<typeof setTimeout> | undefined;
    const heard = (job: Job) => change({ job, problem: undefined });
    const listen = () => {
      stop = listenToJob(uid, heard, () => {
        stop();
        told(uid, controller.signal).then(
          (job) => {
            heard(job);
            if (!isOver(job)) timer = setTimeout(listen, AGAIN_MS);
          },
          (error: unknown) => {
            if (controller.signal.aborted) return;
            const problem =
              error instanceof Problem ? error : new Problem(0, "page", String(error));
            change((old) => ({ ...old, problem }));
            if (problem.status !== 404) timer = setTimeout(listen, AGAIN_MS);
          },
        );
      });
    };
    change({ job: undefined, problem: undefined });
    listen();
    return () => {
      controller.abort();
      clearTimeout(timer);
      stop();
    };
  }, [uid]);
  return followed;
}
