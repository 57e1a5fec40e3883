import { useCallback, useEffect, useRef, useState } from "react";
import { Problem } from "../../api/client";
import * as api from "../../api/curate";
import { onArrived } from "./unsent";

const AHEAD = 3;
/** Minutes that a subject is somebody's. */
const MINUTES = 10;
const PLACES = 400;

/** What this tab has of a queue: the subjects that were shown, and those that are its next. */
interface Held {
  trail: string[];
  ahead: string[];
}

const nameOf = (queue: string): string => `syntopy.curate.${queue}`;

function recalled(queue: string): Held {
  try {
    const found = window.sessionStorage.getItem(nameOf(queue));
    if (found) return JSON.parse(found) as Held;
  } catch {
    // storage is switched off, or of another version: it begins anew
  }
  return { trail: [], ahead: [] };
}

function kept(queue: string, held: Held): void {
  try {
    window.sessionStorage.setItem(nameOf(queue), JSON.stringify(held));
  } catch {
    // as above
  }
}

export interface Deck {
  current: api.Review | undefined;
  /** The one that comes next, so that its pictures can be fetched. */
  coming: api.Review | undefined;
  counts: api.QueueCounts | undefined;
  error: Problem | undefined;
  /** Nothing is open that nobody is at. */
  ended: boolean;
  move: (by: 1 | -1) => void;
  put: (review: api.Review) => void;
  retry: () => void;
}

/**
 * The subjects of a queue as somebody goes through them. Those to come are taken ahead, so that
 * nobody else gets them and the next one is there at once; they are let go when the queue is left.
 */
export function useDeck(
  queue: string,
  at: string,
  me: string,
  go: (at: string, how: "push" | "replace") => void,
): Deck {
  const [cards, setCards] = useState<ReadonlyMap<string, api.Review>>(new Map());
  const [counts, setCounts] = useState<api.QueueCounts | undefined>();
  const [error, setError] = useState<Problem | undefined>();
  const [ended, setEnded] = useState(false);
  const [round, setRound] = useState(0);
  const held = useRef<Held>(recalled(queue));
  const filling = useRef<Promise<void> | null>(null);
  const wanted = useRef(at);
  wanted.current = at;
  const left = useRef(false);

  const put = useCallback(
    (review: api.Review) => setCards((old) => new Map(old).set(review.subject, review)),
    [],
  );
  const failed = useCallback((problem: unknown) => {
    setError(problem instanceof Problem ? problem : new Problem(0, "page", String(problem)));
  }, []);

  const fill = useCallback(async (): Promise<void> => {
    const lacking = AHEAD - held.current.ahead.length;
    if (lacking <= 0) return;
    const taken = await api.takeNext(queue, lacking, MINUTES);
    if (left.current) return release(queue, subjects(taken.reviews));
    setCounts(taken.counts);
    for (const review of taken.reviews) put(review);
    // What is held may have changed meanwhile.
    const { trail, ahead } = held.current;
    held.current = { trail, ahead: [...new Set([...ahead, ...subjects(taken.reviews)])] };
    kept(queue, held.current);
  }, [queue, put]);

  /** One filling at a time: whoever needs more waits for it. */
  const filled = useCallback((): Promise<void> => {
    filling.current ??= fill().finally(() => {
      filling.current = null;
    });
    return filling.current;
  }, [fill]);

  const advance = useCallback(
    async (how: "push" | "replace") => {
      setError(undefined);
      try {
        if (!held.current.ahead.length) await filled();
        if (left.current) return;
        const next = held.current.ahead.shift();
        if (next) {
          held.current.trail = [...held.current.trail.slice(-PLACES), next];
          kept(queue, held.current);
        }
        setEnded(!next);
        go(next ?? "", how);
        if (next) await filled();
      } catch (problem) {
        failed(problem);
      }
    },
    [queue, filled, failed, go],
  );

  // biome-ignore lint/correctness/useExhaustiveDependencies: `round` tries again
  useEffect(() => {
    let live = true;
    async function begin(): Promise<void> {
      await stillMine(queue, me, held, put);
      if (!live) return;
      if (!wanted.current) await advance("replace");
      else await filled();
    }
    setError(undefined);
    begin().catch((problem: unknown) => live && failed(problem));
    return () => {
      live = false;
    };
  }, [queue, me, round]);

  useEffect(() => {
    if (!at) return;
    setEnded(false);
    const { trail, ahead } = held.current;
    held.current = {
      trail: trail.includes(at) ? trail : [...trail, at],
      ahead: ahead.filter((each) => each !== at),
    };
    kept(queue, held.current);
    if (cards.has(at)) return;
    const controller = new AbortController();
    api
      .review(queue, at, controller.signal)
      .then(({ review }) => put(review))
      .catch((problem: unknown) => controller.signal.aborted || failed(problem));
    return () => controller.abort();
    // What is held already is not asked for again.
  }, [queue, at, cards, put, failed]);

  useEffect(
    () =>
      onArrived((review) => {
        if (review.queue === queue) put(review);
      }),
    [queue, put],
  );
  useCounts(queue, setCounts);
  useEffect(() => {
    left.current = false;
    return () => {
      left.current = true;
      letGo(queue, held.current, wanted.current);
    };
  }, [queue]);

  function move(by: 1 | -1): void {
    const { trail } = held.current;
    const there = trail.indexOf(at) + by;
    const to = at ? trail[there] : by < 0 ? trail.at(-1) : undefined;
    if (to) go(to, "push");
    else if (by > 0) void advance("push");
  }
  const [coming = ""] = held.current.ahead;
  return {
    current: at ? cards.get(at) : undefined,
    coming: cards.get(coming),
    counts,
    error,
    ended: ended && !at,
    move,
    put,
    retry: () => setRound((n) => n + 1),
  };
}

/** After a reload, what was taken ahead is still this tab's: the rest is forgotten. */
async function stillMine(
  queue: string,
  me: string,
  held: { current: Held },
  put: (review: api.Review) => void,
): Promise<void> {
  const { rows } = held.current.ahead.length
    ? await api.reviews({ queue, state: "claimed", cursor: "", limit: 500 })
    : { rows: [] };
  const { trail, ahead } = held.current;
  const mine = rows.filter((each) => each.claimed_by === me && ahead.includes(each.subject));
  for (const each of mine) put(each);
  held.current = { trail, ahead: mine.map((each) => each.subject) };
  kept(queue, held.current);
}

/** How the queue stands, each time that a decision has arrived. */
function useCounts(queue: string, set: (counts: api.QueueCounts | undefined) => void): void {
  const setting = useRef(set);
  setting.current = set;
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    async function look(): Promise<void> {
      const all = await api.queues().catch(() => []);
      const mine = all.find((each) => each.queue === queue);
      if (mine) setting.current(mine);
    }
    void look();
    const stop = onArrived((review) => {
      if (review.queue !== queue) return;
      clearTimeout(timer);
      timer = setTimeout(() => void look(), 300);
    });
    return () => {
      stop();
      clearTimeout(timer);
    };
  }, [queue]);
}

const subjects = (reviews: readonly api.Review[]) => reviews.map(({ subject }) => subject);

function release(queue: string, taken: readonly string[]): void {
  if (taken.length) void api.release(queue, [...taken]).catch(() => undefined); // they lapse
}

function letGo(queue: string, held: Held, at: string): void {
  kept(queue, { ...held, ahead: [] });
  release(queue, [...held.ahead, ...(at ? [at] : [])]);
}
