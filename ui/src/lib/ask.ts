import { useCallback, useEffect, useReducer, useRef } from "react";
import { onSignedOut, Problem } from "../api/client";

/** Something that was asked of the service. `data` stays while the next answer is waited for. */
export interface Asked<T> {
  data: T | undefined;
  error: Problem | undefined;
  loading: boolean;
  /** It takes longer than anyone expects. */
  slow: boolean;
  retry: () => void;
  stop: () => void;
}

interface State<T> {
  key: string | null;
  data: T | undefined;
  error: Problem | undefined;
  loading: boolean;
  slow: boolean;
}

const SLOW_MS = 4000;
const KEPT = 60;
const kept = new Map<string, unknown>();

function keep(key: string, data: unknown): void {
  kept.delete(key);
  kept.set(key, data);
  const oldest = kept.keys().next().value;
  if (kept.size > KEPT && oldest !== undefined) kept.delete(oldest);
}

/** Forget all answers: after signing in, they may be others. */
export function forgetAnswers(): void {
  kept.clear();
  for (const again of repeats) again();
}

const repeats = new Set<() => void>();

/** Do something again when somebody has signed in, for what was refused before. */
export function useOnSignIn(again: () => void): void {
  const held = useRef(again);
  held.current = again;
  useEffect(() => {
    const repeat = () => held.current();
    repeats.add(repeat);
    return () => {
      repeats.delete(repeat);
    };
  }, []);
}

/**
 * Ask when the key changes, never twice for one key; null asks nothing and shows nothing. What is
 * large is not kept here: the browser has it, and asks by its tag.
 */
export function useAsked<T>(
  key: string | null,
  ask: (signal: AbortSignal) => Promise<T>,
  large = false,
): Asked<T> {
  const [state, change] = useReducer(
    (old: State<T>, next: Partial<State<T>>): State<T> => ({ ...old, ...next }),
    { key: null, data: undefined, error: undefined, loading: false, slow: false },
  );
  const [round, again] = useReducer((n: number) => n + 1, 0);
  const asking = useRef(ask);
  asking.current = ask;
  const current = useRef<AbortController | null>(null);

  // biome-ignore lint/correctness/useExhaustiveDependencies: `round` asks the same again
  useEffect(() => {
    if (key === null) {
      change({ key, data: undefined, error: undefined, loading: false, slow: false });
      return;
    }
    if (kept.has(key)) {
      change({ key, data: kept.get(key) as T, error: undefined, loading: false, slow: false });
      return;
    }
    const controller = new AbortController();
    current.current = controller;
    change({ key, error: undefined, loading: true, slow: false });
    const timer = setTimeout(() => change({ slow: true }), SLOW_MS);
    asking
      .current(controller.signal)
      .then((data) => {
        if (controller.signal.aborted) return;
        if (!large) keep(key, data);
        change({ data, loading: false, slow: false });
      })
      .catch((error: unknown) => {
        if (controller.signal.aborted) return;
        const problem = error instanceof Problem ? error : new Problem(0, "page", String(error));
        change({ error: problem, loading: false, slow: false });
      })
      .finally(() => clearTimeout(timer));
    return () => {
      clearTimeout(timer);
      controller.abort();
    };
  }, [key, round, large]);

  useOnSignIn(again);
  const stop = useCallback(() => {
    current.current?.abort();
    change({ loading: false, slow: false, error: new Problem(0, "stopped", "") });
  }, []);
  // Until the effect has run, what is held belongs to the key before.
  const waiting = key !== null && state.key !== key && !kept.has(key);
  return {
    data: state.data,
    error: waiting ? undefined : state.error,
    loading: state.loading || waiting,
    slow: state.slow,
    retry: again,
    stop,
  };
}

/** Whether signing in is called for; `done` says that it has happened. */
export function useSignedOut(): [boolean, () => void] {
  const [out, change] = useReducer((_: boolean, next: boolean) => next, false);
  useEffect(() => onSignedOut(() => change(true)), []);
  const done = useCallback(() => {
    change(false);
    forgetAnswers();
  }, []);
  return [out, done];
}
