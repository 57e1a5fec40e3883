import { useSyncExternalStore } from "react";
import { GONE, Problem } from "../../api/client";
import * as api from "../../api/curate";
import { type Entry, entered, settled } from "./entries";

/** Somebody else was quicker. */
export interface Conflict {
  entry: Entry;
  now: api.Review;
}

export interface Refused {
  entry: Entry;
  problem: Problem;
}

export interface Unsent {
  entries: readonly Entry[];
  conflicts: readonly Conflict[];
  refused: readonly Refused[];
  /** Why they wait, where they do. */
  waiting: Problem | null;
}

const KEPT = "syntopy.unsent";
const AGAIN_MS = 4000;

function read(): Entry[] {
  try {
    return JSON.parse(window.localStorage.getItem(KEPT) ?? "[]") as Entry[];
  } catch {
    return [];
  }
}

function write(entries: readonly Entry[]): void {
  try {
    if (entries.length) window.localStorage.setItem(KEPT, JSON.stringify(entries));
    else window.localStorage.removeItem(KEPT);
  } catch {
    // storage is switched off: they are kept for this visit
  }
}

let state: Unsent = { entries: read(), conflicts: [], refused: [], waiting: null };
let onItsWay = 0;
let timer: ReturnType<typeof setTimeout> | undefined;
const watchers = new Set<() => void>();
const hearers = new Set<(review: api.Review) => void>();

function change(next: Partial<Unsent>): void {
  state = { ...state, ...next };
  if (next.entries) write(next.entries);
  for (const watcher of watchers) watcher();
}

export function useUnsent(): Unsent {
  return useSyncExternalStore(
    (watcher) => {
      watchers.add(watcher);
      return () => watchers.delete(watcher);
    },
    () => state,
  );
}

/** Hear how a review stands once a decision about it has arrived, or somebody was quicker. */
export function onArrived(hear: (review: api.Review) => void): () => void {
  hearers.add(hear);
  return () => hearers.delete(hear);
}

/** Send a decision, now or as soon as the service answers. */
export function send(decision: Omit<Entry, "id">): void {
  const id = Math.max(Date.now(), ...state.entries.map((each) => each.id + 1));
  change({ entries: entered(state.entries, { id, ...decision }, onItsWay) });
  void drain();
}

/** Take a decision back that was not sent; false where it is on its way, or has arrived. */
export function recall(queue: string, subject: string): boolean {
  const mine = (each: Entry) =>
    each.queue === queue && each.subject === subject && each.id !== onItsWay;
  if (!state.entries.some(mine)) return false;
  change({ entries: state.entries.filter((each) => !mine(each)) });
  return true;
}

/** Once nothing is on its way; what waits for the service may still be there. */
export async function quiet(): Promise<void> {
  while (onItsWay) await new Promise((resolve) => setTimeout(resolve, 50));
}

/** Leave what the others decided, or decide all the same from what stands now. */
export function settleConflict({ entry, now }: Conflict, insist: boolean): void {
  change({ conflicts: state.conflicts.filter((each) => each.entry.id !== entry.id) });
  if (insist) send({ ...entry, version: now.version });
}

export function settleRefused({ entry }: Refused, again: boolean): void {
  change({ refused: state.refused.filter((each) => each.entry.id !== entry.id) });
  if (again) send(entry);
}

/** Send what waits, one after the other. */
export async function drain(): Promise<void> {
  if (onItsWay) return;
  clearTimeout(timer);
  for (let entry = state.entries[0]; entry; entry = state.entries[0]) {
    onItsWay = entry.id;
    const goOn = await sendOne(entry);
    onItsWay = 0;
    if (!goOn) {
      timer = setTimeout(() => void drain(), AGAIN_MS);
      return;
    }
  }
  change({ waiting: null });
}

async function sendOne(entry: Entry): Promise<boolean> {
  const { queue, subject, version, verdict, comment, labels } = entry;
  try {
    const { review } = await api.decide(queue, subject, version, { verdict, comment, labels });
    arrived(entry, review);
    return true;
  } catch (error) {
    const problem = error instanceof Problem ? error : new Problem(0, "page", String(error));
    if (problem.status === 412) return clash(entry);
    if (later(problem)) {
      change({ waiting: problem });
      return false;
    }
    const entries = state.entries.filter((each) => each.id !== entry.id);
    change({ entries, refused: [...state.refused, { entry, problem }] });
    return true;
  }
}

function arrived(entry: Entry, review: api.Review): void {
  const { id, queue, subject } = entry;
  change({
    entries: settled(state.entries, id, queue, subject, review.version),
    waiting: null,
  });
  for (const hear of hearers) hear(review);
}

/** Somebody decided since: what they decided is asked for, and both are shown. */
async function clash(entry: Entry): Promise<boolean> {
  try {
    const { review } = await api.review(entry.queue, entry.subject);
    arrived(entry, review);
    // An answer that got lost on its way is no quarrel with oneself.
    if (review.verdict !== entry.verdict || review.comment !== entry.comment)
      change({ conflicts: [...state.conflicts, { entry, now: review }] });
    return true;
  } catch (error) {
    change({ waiting: error instanceof Problem ? error : new Problem(0, GONE, "") });
    return false;
  }
}

/** Whether it will pass: the service is gone, busy or broken, or nobody is signed in. */
const later = ({ code, status }: Problem): boolean =>
  code === GONE || status === 401 || status === 429 || status >= 500;

window.addEventListener("online", () => void drain());
if (state.entries.length) void drain();
