import { useSyncExternalStore } from "react";

/** Where in the page somebody is: `#/search?study=1.2.3` is view `search` with its parameters. */
export interface Route {
  view: string;
  params: URLSearchParams;
}

export function parseHash(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  return { view: path, params: new URLSearchParams(query) };
}

export function formatHash(route: Route): string {
  const query = route.params.toString();
  return `#/${route.view}${query ? `?${query}` : ""}`;
}

const listeners = new Set<() => void>();

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  window.addEventListener("popstate", listener);
  window.addEventListener("hashchange", listener);
  return () => {
    listeners.delete(listener);
    window.removeEventListener("popstate", listener);
    window.removeEventListener("hashchange", listener);
  };
}

/** The hash of the address, as it is now and whenever it changes. */
export function useHash(): string {
  return useSyncExternalStore(subscribe, () => window.location.hash);
}

/** Go there: a new step for the back button, or in place of the one that is shown. */
export function go(route: Route, how: "push" | "replace" = "push"): void {
  const hash = formatHash(route);
  if (hash === window.location.hash) return;
  if (how === "push") window.history.pushState(null, "", hash);
  else window.history.replaceState(null, "", hash);
  for (const listener of listeners) listener();
}
