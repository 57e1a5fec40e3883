import { useEffect, useReducer, useState } from "react";
import * as api from "../../api/client";
import * as qa from "../../api/qa";
import { type Asked, useAsked } from "../../lib/ask";
import { filterOf } from "../search/state";
import { leastAlarm } from "./report";
import { type QaState, scoresOf } from "./state";

const OLD_MS = 30_000;

/** Grows when somebody comes back to the page after a while: what arrived meanwhile is asked for. */
export function useFresh(): number {
  const [round, next] = useReducer((n: number) => n + 1, 0);
  useEffect(() => {
    let left = 0;
    const changed = () => {
      if (document.hidden) left = Date.now();
      else if (left && Date.now() - left > OLD_MS) next();
    };
    document.addEventListener("visibilitychange", changed);
    return () => document.removeEventListener("visibilitychange", changed);
  }, []);
  return round;
}

/** Whether a list and details fit beside each other. */
export function useWide(): boolean {
  const query = "(min-width: 1101px)";
  const [wide, setWide] = useState(() => window.matchMedia(query).matches);
  useEffect(() => {
    const media = window.matchMedia(query);
    const changed = () => setWide(media.matches);
    media.addEventListener("change", changed);
    return () => media.removeEventListener("change", changed);
  }, []);
  return wide;
}

export const useReferences = (): Asked<qa.Reference[]> =>
  useAsked(`qa references ${useFinished()}`, (signal) => api.references(signal));

// Jobs that ended in this visit: what they made is asked for again.
let finished = 0;
const listeners = new Set<() => void>();

export function jobFinished(): void {
  finished += 1;
  for (const listener of listeners) listener();
}

export function useFinished(): number {
  const [, again] = useReducer((n: number) => n + 1, 0);
  useEffect(() => {
    listeners.add(again);
    return () => {
      listeners.delete(again);
    };
  }, []);
  return finished;
}

export function useScores(
  state: QaState,
  reference: string,
  limit: number,
): Asked<{ rows: qa.StudyScore[]; cursor: string }> {
  const fresh = useFresh() + useFinished();
  const query = scoresOf(state, reference);
  const key = reference ? `scores ${JSON.stringify(query)} ${limit} ${fresh}` : null;
  return useAsked(key, (signal) => qa.scores({ ...query, cursor: "", limit }, signal));
}

export function useCounts(
  state: QaState,
  reference: string,
  round: number,
): Asked<api.Schemas["ScoreCounts"]> {
  const fresh = useFresh() + useFinished();
  const filter = filterOf(state.choices, state.filter);
  const key = reference ? `counts ${reference} ${filter} ${round} ${fresh}` : null;
  return useAsked(key, (signal) => qa.scoreCounts(reference, filter, signal));
}

/** What the reference says of a study now, with its nearest cases; nothing is stored. */
export function useJudged(
  reference: qa.Reference,
  study: string,
): Asked<qa.StudyJudged | undefined> {
  // A reference with too few cases for its rate still knows what is near, at the least that it has.
  const least = leastAlarm(reference);
  const alarm = least > reference.alarm ? Math.min(0.99, Math.ceil(least * 100) / 100) : null;
  return useAsked(study ? `judged ${reference.name} ${study}` : null, async (signal) => {
    const filter = `study="${study}"`;
    const body = { reference: reference.name, filter, limit: 1, alarm, look: true };
    return (await qa.score(body, signal)).studies[0];
  });
}

export const useStudy = (study: string): Asked<api.Schemas["StudyDetails"]> =>
  useAsked(study ? `study ${study}` : null, (signal) => api.study(study, signal));
