import { useEffect, useRef } from "react";
import type { KeyRow } from "./messages";

export type Keys = Record<string, (event: KeyboardEvent) => void>;

const TYPED = /^(input|textarea|select)$/i;

function typing(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target instanceof HTMLInputElement && ["checkbox", "button", "range"].includes(target.type))
    return false;
  return TYPED.test(target.tagName) || target.isContentEditable;
}

/** Keys of a view, by `KeyboardEvent.key`; while somebody types, only Escape counts. */
export function useKeys(keys: Keys, active = true): void {
  const held = useRef(keys);
  held.current = keys;
  useEffect(() => {
    if (!active) return;
    const pressed = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      if (document.querySelector("dialog[open]")) return; // it has the keys now
      if (event.target instanceof HTMLSelectElement && event.key === "Escape") {
        event.target.blur(); // what was chosen stays, and the keys of the view count again
        return;
      }
      if (typing(event.target) && event.key !== "Escape") return;
      if (
        event.target instanceof HTMLInputElement &&
        event.target.type === "range" &&
        event.key.startsWith("Arrow")
      )
        return;
      const act = held.current[event.key];
      if (!act) return;
      event.preventDefault();
      act(event);
    };
    window.addEventListener("keydown", pressed);
    return () => window.removeEventListener("keydown", pressed);
  }, [active]);
}

let shownRows: readonly KeyRow[] = [];

/** What the keys of the view that is shown do, for the sheet. */
export function useKeySheet(rows: readonly KeyRow[]): void {
  useEffect(() => {
    shownRows = rows;
    return () => {
      shownRows = [];
    };
  }, [rows]);
}

export const keySheet = (): readonly KeyRow[] => shownRows;
