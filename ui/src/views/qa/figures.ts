import type { ItemScore, StudyScore } from "../../api/qa";
import { parts, plain } from "../../lib/format";

/** A p-value with two digits that count. */
export function pValue(p: number): string {
  if (p < 0.0001) return "<0.0001";
  return p >= 0.1 ? p.toFixed(2) : String(Number(p.toPrecision(2)));
}

/** Of how many usual studies one looks as odd; nothing where that says little. */
export function oneIn(p: number): number | undefined {
  return p > 0 && p <= 0.34 ? Math.round(1 / p) : undefined;
}

/** A rate as whole studies: 0.05 is 5 of 100, 0.001 is 1 of 1000. */
export function outOf(rate: number): { n: number; of: number } {
  let of = 100;
  while (rate * of < 1 && of < 1_000_000) of *= 10;
  return { n: Math.round(rate * of * 10) / 10, of };
}

export const share = (value: number): string =>
  `${Number((100 * value).toFixed(value < 0.1 ? 1 : 0))} %`;

/** A figure of any size with three digits that count. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.001 || size >= 1e6)) return value.toExponential(2);
  return size >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3)));
}

export const sentence = (text: string): string =>
  `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;

/** A time as people of a language write it, to the minute. */
export function when(iso: string, language: string): string {
  const at = new Date(iso);
  if (!iso || Number.isNaN(at.getTime())) return "";
  return at.toLocaleString(language === "de" ? "de-DE" : "en-GB", {
    day: "2-digit",
    month: "short",
    year: "numeric",
    hour: "2-digit",
    minute: "2-digit",
  });
}

export const scanner = (item: ItemScore | undefined): string =>
  item ? parts(plain(item.manufacturer), plain(item.model)) : "";

/** What the first of its findings says, of the item that decides. */
export function firstFinding(score: StudyScore): string {
  for (const item of score.items)
    for (const finding of item.findings)
      if (typeof finding.sentence === "string") return finding.sentence;
  return "";
}

/** The detector that finds an item oddest. */
export function oddestDetector(item: ItemScore | undefined): string {
  const known = Object.entries(item?.verdicts ?? {});
  known.sort(([, a], [, b]) => (a.p_value ?? 1) - (b.p_value ?? 1));
  return known[0]?.[0] ?? "";
}
