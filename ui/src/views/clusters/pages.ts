import { useCallback, useEffect, useReducer, useRef } from "react";
import { Problem } from "../../api/client";
import type { Page } from "../../api/clusters";

/** What was loaded of a long list. */
interface Loaded<T> {
  pages: T[][];
  /** Of the next page; null at the end. */
  cursor: string | null;
}

const KEPT = 4;
const kept = new Map<string, Loaded<unknown>>();

function keep<T>(key: string, loaded: Loaded<T>): void {
  kept.delete(key);
  kept.set(key, loaded);
  const oldest = kept.keys().next().value;
  if (kept.size > KEPT && oldest !== undefined) kept.delete(oldest);
}

export interface Pages<T> {
  pages: T[][];
  more: boolean;
  loading: boolean;
  error: Problem | undefined;
  /** Load the next page; does nothing while one is loaded, at the end, or after an error. */
  next: () => void;
  retry: () => void;
}

interface State<T> extends Loaded<T> {
  key: string;
  error: Problem | undefined;
  loading: boolean;
}

/** A long list, page by page; what was loaded is there again when somebody comes back. */
export function usePages<T>(
  key: string,
  ask: (cursor: string, signal: AbortSignal) => Promise<Page<T>>,
): Pages<T> {
  const begun = (): State<T> => {
    const before = kept.get(key) as Loaded<T> | undefined;
    return { key, ...(before ?? { pages: [], cursor: "" }), error: undefined, loading: false };
  };
  const state = useRef<State<T>>(undefined);
  const [, draw] = useReducer((n: number) => n + 1, 0);
  const running = useRef<AbortController>(undefined);
  if (state.current?.key !== key) state.current = begun();
  const asking = useRef(ask);
  asking.current = ask;

  const load = useCallback(() => {
    const from = state.current;
    if (!from || from.loading || from.cursor === null) return;
    const controller = new AbortController();
    running.current = controller;
    const change = (next: Partial<State<T>>) => {
      if (controller.signal.aborted) return;
      state.current = { ...from, loading: false, error: undefined, ...next };
      draw();
    };
    change({ loading: true });
    asking.current(from.cursor, controller.signal).then(
      (page) => {
        const loaded = { pages: [...from.pages, page.rows], cursor: page.cursor || null };
        if (!controller.signal.aborted) keep(from.key, loaded);
        change(loaded);
      },
      (error: unknown) =>
        change({ error: error instanceof Problem ? error : new Problem(0, "page", String(error)) }),
    );
  }, []);

  // biome-ignore lint/correctness/useExhaustiveDependencies: another list begins with its key
  useEffect(() => {
    if (state.current?.loading) state.current = { ...state.current, loading: false };
    if (!state.current?.pages.length) load();
    return () => running.current?.abort();
  }, [key, load]);

  const { pages, cursor, loading, error } = state.current;
  const next = useCallback(() => {
    if (!state.current?.error) load();
  }, [load]);
  return { pages, more: cursor !== null, loading, error, next, retry: load };
}
