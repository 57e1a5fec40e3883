import { useCallback, useEffect, useRef, useState } from "react";
import { Problem } from "../../api/client";
import * as api from "../../api/library";
import { isOver, listenToJob } from "../../lib/jobs";

const EVERY_MS = 5_000;
const SLOWEST_MS = 60_000;
/** Without a key or a pointer for so long nobody looks: a session must be able to end. */
const IDLE_MS = 600_000;
const SAMPLES = 13;
const USED = ["pointerdown", "pointermove", "keydown", "wheel"] as const;

export interface Pulse {
  now: api.Now | undefined;
  error: Problem | undefined;
  /** Nobody seems to look; any key or pointer goes on. */
  paused: boolean;
  /** Files that were handled within about the last minute; null until that is known. */
  lastMinute: number | null;
  /** Look at once. */
  look: () => void;
}

/** What changes by the minute, looked at again while the page is seen and somebody is there. */
export function usePulse(): Pulse {
  const [now, setNow] = useState<api.Now | undefined>();
  const [error, setError] = useState<Problem | undefined>();
  const [paused, setPaused] = useState(false);
  const samples = useRef<number[]>([]);
  const [round, setRound] = useState(0);
  const look = useCallback(() => setRound((n) => n + 1), []);

  // biome-ignore lint/correctness/useExhaustiveDependencies: `round` looks at once
  useEffect(() => {
    const controller = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let wait = EVERY_MS;
    let asking = false;
    let used = Date.now();

    async function take(): Promise<void> {
      timer = undefined;
      if (document.hidden || asking) return;
      if (Date.now() - used > IDLE_MS) {
        setPaused(true);
        return;
      }
      asking = true;
      try {
        const told = await api.now(controller.signal);
        const files = Object.values(told.files).reduce((sum, each) => sum + each, 0);
        samples.current = [...samples.current, files].slice(-SAMPLES);
        setNow(told);
        setError(undefined);
        wait = EVERY_MS;
      } catch (caught) {
        if (controller.signal.aborted) return;
        setError(caught instanceof Problem ? caught : new Problem(0, "page", String(caught)));
        wait = Math.min(SLOWEST_MS, wait * 2);
      } finally {
        asking = false;
      }
      if (!controller.signal.aborted) timer = setTimeout(take, wait);
    }
    const seen = () => {
      if (!document.hidden && !timer) void take();
    };
    const touched = () => {
      const long = Date.now() - used > IDLE_MS;
      used = Date.now();
      if (!long) return;
      setPaused(false);
      seen();
    };
    void take();
    document.addEventListener("visibilitychange", seen);
    for (const each of USED) window.addEventListener(each, touched, { passive: true });
    return () => {
      controller.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", seen);
      for (const each of USED) window.removeEventListener(each, touched);
    };
  }, [round]);

  const first = samples.current[0];
  const last = samples.current.at(-1);
  const known = samples.current.length === SAMPLES && first !== undefined && last !== undefined;
  return { now, error, paused, lastMinute: known ? last - first : null, look };
}

/** Streams that one browser holds at once: it has six connections to a service. */
const STREAMS = 3;

/** Jobs as they are now: those that have not ended are followed by their events. */
export function useFollowed(
  jobs: readonly api.Job[] | undefined,
  onEnd: () => void,
): readonly api.Job[] | undefined {
  const [told, setTold] = useState<Record<string, api.Job>>({});
  const ended = useRef(onEnd);
  ended.current = onEnd;
  const open = (jobs ?? []).filter((job) => !isOver(job));
  const running = open.filter((job) => job.state === "running");
  const waiting = open.filter((job) => job.state !== "running").reverse();
  const wanted = [...running, ...waiting]
    .slice(0, STREAMS)
    .map((job) => job.id)
    .join(" ");

  useEffect(() => {
    const stops = wanted
      .split(" ")
      .filter(Boolean)
      .map((uid) =>
        listenToJob(uid, (job) => {
          setTold((old) => ({ ...old, [uid]: job }));
          if (isOver(job)) ended.current();
        }),
      );
    return () => {
      for (const stop of stops) stop();
    };
  }, [wanted]);

  return jobs?.map((job) => {
    const newer = told[job.id];
    return newer && newer.revision > job.revision ? newer : job;
  });
}

export interface Doing {
  busy: boolean;
  problem: Problem | undefined;
  /** Do it; what was refused is told by `problem`. */
  act: (work: () => Promise<void>) => void;
  forget: () => void;
}

/** Something that a button does: once at a time, and what went wrong stays until it is tried again. */
export function useDoing(): Doing {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | undefined>();
  const going = useRef(false);
  const act = useCallback((work: () => Promise<void>) => {
    if (going.current) return;
    going.current = true;
    setBusy(true);
    setProblem(undefined);
    work()
      .catch((error: unknown) =>
        setProblem(error instanceof Problem ? error : new Problem(0, "page", String(error))),
      )
      .finally(() => {
        going.current = false;
        setBusy(false);
      });
  }, []);
  const forget = useCallback(() => setProblem(undefined), []);
  return { busy, problem, act, forget };
}

/** A key by which one wish is known, however often it is sent. (`randomUUID` needs https.) */
export const freshKey = (): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) =>
    byte.toString(16).padStart(2, "0"),
  ).join("");
