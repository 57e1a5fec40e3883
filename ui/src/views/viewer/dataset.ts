/** Headers of instances in the DICOM JSON model (PS3.18 annex F), as they come from WADO-RS. */

export interface Element {
  vr: string;
  Value?: unknown[];
  InlineBinary?: string;
}

export type DataSet = Record<string, Element>;

const isSet = (value: unknown): value is DataSet => typeof value === "object" && value !== null;

/** The items of a sequence. */
export const itemsOf = (ds: DataSet, tag: string): DataSet[] =>
  (ds[tag]?.Value ?? []).filter(isSet);

/** Where to look for a frame's attributes: its own functional groups, the shared ones, the rest. */
export function groupsOf(ds: DataSet, frame: number): DataSet[] {
  const own = itemsOf(ds, "52009230")[frame];
  const shared = itemsOf(ds, "52009229")[0];
  const inner = [own, shared]
    .filter((group) => group !== undefined)
    .flatMap((group) => Object.keys(group).flatMap((tag) => itemsOf(group, tag)));
  return [...inner, ds];
}

function valuesOf(groups: readonly DataSet[], tag: string): unknown[] {
  for (const group of groups) {
    const values = group[tag]?.Value;
    if (values?.length) return values;
  }
  return [];
}

/** The numbers of an element; what is none is left out. */
export const numbersOf = (groups: readonly DataSet[], tag: string): number[] =>
  valuesOf(groups, tag)
    .map((value) => (value === null || value === "" ? Number.NaN : Number(value)))
    .filter((value) => Number.isFinite(value));

export const numberOf = (groups: readonly DataSet[], tag: string): number | undefined =>
  numbersOf(groups, tag)[0];

export function textOf(groups: readonly DataSet[], tag: string): string {
  const [value] = valuesOf(groups, tag);
  return typeof value === "string" ? value.trim() : "";
}

/** Bytes that stand in the header itself; nothing where there are none. */
export function bytesOf(ds: DataSet, tag: string): Uint8Array | undefined {
  const said = ds[tag]?.InlineBinary;
  return said ? Uint8Array.from(atob(said), (letter) => letter.charCodeAt(0)) : undefined;
}
