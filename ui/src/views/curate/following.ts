import { useEffect, useState } from "react";
import type * as api from "../../api/curate";
import { isOver, listenToJob } from "../../lib/jobs";

const AGAIN_MS = 2000;

/** A job as it goes on: told by the service, asked for again where that breaks off. */
export function useFollowed(job: api.Job | null | undefined, onEnd: () => void): api.Job | null {
  const [followed, setFollowed] = useState<api.Job | null>(null);
  const id = job && !isOver(job) ? job.id : "";
  // biome-ignore lint/correctness/useExhaustiveDependencies: one stream for one job
  useEffect(() => {
    if (!id) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let stop = () => {};
    const heard = (told: api.Job) => {
      setFollowed(told);
      if (isOver(told)) onEnd();
    };
    function listen(): void {
      stop = listenToJob(id, heard, (forGood) => {
        if (forGood) timer = setTimeout(listen, AGAIN_MS);
      });
    }
    listen();
    return () => {
      clearTimeout(timer);
      stop();
    };
  }, [id]);
  return followed && followed.id === job?.id ? followed : (job ?? null);
}
