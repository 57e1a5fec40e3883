/** Which members are chosen: some of them, or all, also those that are not loaded yet. */
export interface Selection {
  all: boolean;
  ids: ReadonlySet<string>;
  /** Where a range begins. */
  anchor: string;
}

export const NONE: Selection = { all: false, ids: new Set(), anchor: "" };
export const ALL: Selection = { all: true, ids: new Set(), anchor: "" };

export const isChosen = (selection: Selection, id: string): boolean =>
  selection.all || selection.ids.has(id);

export const isNone = (selection: Selection): boolean => !selection.all && !selection.ids.size;

/** One more, or one less; where all were chosen, this one alone is from now on. */
export function toggled(selection: Selection, id: string): Selection {
  const ids = new Set(selection.ids);
  if (selection.all || !ids.delete(id)) ids.add(id);
  return { all: false, ids, anchor: id };
}

/** All from the last that was touched to this one, beside those that were chosen before. */
export function ranged(selection: Selection, id: string, order: readonly string[]): Selection {
  const from = order.indexOf(selection.anchor);
  const to = order.indexOf(id);
  if (selection.all || from < 0 || to < 0) return toggled(selection, id);
  const within = order.slice(Math.min(from, to), Math.max(from, to) + 1);
  return { all: false, ids: new Set([...selection.ids, ...within]), anchor: selection.anchor };
}
