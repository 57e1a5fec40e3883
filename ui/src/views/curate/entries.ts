import type { Verdict } from "../../api/curate";

/** A decision on its way to the service. */
export interface Entry {
  id: number;
  queue: string;
  subject: string;
  verdict: Verdict;
  comment: string;
  labels: string[];
  /** The version of the review that whoever decided has seen. */
  version: number;
}

/** With one more; an earlier one about the same subject is not sent, unless it is on its way. */
export function entered(list: readonly Entry[], entry: Entry, onItsWay: number): Entry[] {
  const same = (each: Entry) => each.queue === entry.queue && each.subject === entry.subject;
  return [...list.filter((each) => each.id === onItsWay || !same(each)), entry];
}

/** Without one that was sent; later ones about its subject are made from what it left. */
export function settled(
  list: readonly Entry[],
  id: number,
  queue: string,
  subject: string,
  version: number,
): Entry[] {
  return list
    .filter((each) => each.id !== id)
    .map((each) =>
      each.queue === queue && each.subject === subject ? { ...each, version } : each,
    );
}
