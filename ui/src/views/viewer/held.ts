import { useEffect, useRef, useState } from "react";
import { go } from "../../lib/route";
import { EMPTY, formatViewer, parseViewer, type ViewerState } from "./state";

const LATER_MS = 300;

/**
 * The state of the address. Looking about changes it many times in a second, which the address
 * follows when it rests; another series is a step for the back button.
 */
export function useHeld(params: URLSearchParams): {
  state: ViewerState;
  change: (change: Partial<ViewerState>) => void;
  goToSeries: (series: string) => void;
} {
  const address = params.toString();
  const [state, setState] = useState(() => parseViewer(params));
  const written = useRef(address);

  // Somebody went back, or followed a link.
  if (address !== written.current) {
    written.current = address;
    setState(parseViewer(params));
  }

  function write(next: ViewerState, how: "push" | "replace"): void {
    const told = formatViewer(next);
    written.current = told.toString();
    go({ view: "view", params: told }, how);
  }

  useEffect(() => {
    const timer = setTimeout(() => {
      const told = formatViewer(state);
      if (told.toString() === written.current) return;
      written.current = told.toString();
      go({ view: "view", params: told }, "replace");
    }, LATER_MS);
    return () => clearTimeout(timer);
  }, [state]);

  function goToSeries(series: string): void {
    const next = { ...EMPTY, study: state.study, series };
    setState(next);
    write(next, "push");
  }
  return { state, change: (change) => setState((old) => ({ ...old, ...change })), goToSeries };
}
