import { useEffect, useState } from "react";
import * as api from "../../api/curate";

export const over = (job: api.Job): boolean => ["done", "failed", "stopped"].includes(job.state);

const AGAIN_MS = 2000;

/** A job as it goes on: told by the service, asked for again where that breaks off. */
export function useFollowed(job: api.Job | null | undefined, onEnd: () => void): api.Job | null {
  const [followed, setFollowed] = useState<api.Job | null>(null);
  const id = job && !over(job) ? job.id : "";
  // biome-ignore lint/correctness/useExhaustiveDependencies: one stream for one job
  useEffect(() => {
    if (!id) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let stream: EventSource | undefined;
    function listen(): void {
      stream = new EventSource(api.jobEvents(id));
      const heard = (event: MessageEvent<string>) => {
        const told = JSON.parse(event.data) as api.Job;
        setFollowed(told);
        if (over(told)) {
          stream?.close();
          onEnd();
        }
      };
      stream.addEventListener("progress", heard);
      stream.addEventListener("end", heard);
      stream.onerror = () => {
        if (stream?.readyState !== EventSource.CLOSED) return; // it tries again by itself
        timer = setTimeout(listen, AGAIN_MS);
      };
    }
    listen();
    return () => {
      clearTimeout(timer);
      stream?.close();
    };
  }, [id]);
  return followed && followed.id === job?.id ? followed : (job ?? null);
}
