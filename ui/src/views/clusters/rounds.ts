import { useSyncExternalStore } from "react";

/** Counts changes of what is asked here, so that it is asked anew after each. */
let round = 0;
const listeners = new Set<() => void>();

/** Something has changed: names, runs, jobs. What is shown stays until the new answer is there. */
export function nextRound(): void {
  round += 1;
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export const useRound = (): number => useSyncExternalStore(subscribe, () => round);
