import type { Schemas } from "../../api/client";
import type { ItemJudged, StudyJudged, StudyScore } from "../../api/qa";
import { scanner } from "./figures";

/** What one detector says; the threshold is known once it was judged anew. */
export interface DetectorSays {
  name: string;
  score: number;
  p: number;
  threshold: number | undefined;
}

/** An image or a volume of a study, with all that is known of it from three answers. */
export interface Image {
  id: string;
  modality: string;
  body_part: string;
  view: string;
  description: string;
  scanner: string;
  volume: boolean;
  /** Not known before the study was asked for. */
  slices: number | undefined;
  flagged: boolean | null;
  p: number | null;
  stratum: string;
  why: string;
  reason: string;
  findings: { code: string; sentence: string; value: number | undefined }[];
  detectors: DetectorSays[];
  nearest: ItemJudged["nearest"] | undefined;
  /** Of the image and of its study, values by name. */
  labels: Record<string, string[]>;
}

type Details = Schemas["StudyDetails"];

const numberOf = (value: unknown): number | undefined =>
  typeof value === "number" ? value : undefined;

/** The images of a study, the oddest first: as stored, and as judged anew. */
export function imagesOf(
  score: StudyScore | undefined,
  judged: StudyJudged | undefined,
  details: Details | undefined,
): Image[] {
  const now = new Map(judged?.items.map((item) => [item.item, item]));
  const ids = score ? score.items.map((item) => item.item) : oddestFirst(judged?.items ?? []);
  return ids.map((id) => {
    const stored = score?.items.find((item) => item.item === id);
    const fresh = now.get(id);
    const at = placeOf(details, id);
    const series = stored ?? at?.series;
    return {
      id,
      modality: series?.modality ?? "",
      body_part: series?.body_part ?? "",
      view: series?.view ?? "",
      description: series?.description ?? "",
      scanner: stored
        ? scanner(stored)
        : [at?.series.manufacturer, at?.series.model].filter(Boolean).join(" · "),
      volume: at?.item.kind === "volume",
      slices: at?.item.slices,
      flagged: stored ? stored.flagged : (fresh?.flagged ?? null),
      p: stored ? stored.p_value : (fresh?.p_value ?? null),
      stratum: fresh?.stratum ?? stored?.stratum ?? "",
      why: fresh?.why ?? "",
      reason: fresh?.reason ?? "",
      findings: (stored?.findings ?? fresh?.findings ?? []).map((finding) => ({
        code: String(finding.code),
        sentence: String(finding.sentence),
        value: numberOf(finding.value),
      })),
      detectors: detectorsOf(stored?.verdicts ?? {}, fresh),
      nearest: fresh?.nearest,
      labels: at?.item.labels ?? {},
    };
  });
}

function oddestFirst(items: readonly ItemJudged[]): string[] {
  const byP = [...items].sort((a, b) => (a.p_value ?? 2) - (b.p_value ?? 2));
  return byP.map((item) => item.item);
}

function placeOf(details: Details | undefined, id: string) {
  for (const series of details?.series ?? []) {
    const item = series.items.find((each) => each.id === id);
    if (item) return { series, item };
  }
  return undefined;
}

function detectorsOf(
  stored: Record<string, Record<string, number>>,
  fresh: ItemJudged | undefined,
): DetectorSays[] {
  const names = Object.keys(stored).length
    ? Object.keys(stored)
    : Object.keys(fresh?.verdicts ?? {});
  const known = names.map((name) => ({
    name,
    score: stored[name]?.score ?? fresh?.verdicts[name]?.score ?? Number.NaN,
    p: stored[name]?.p_value ?? fresh?.verdicts[name]?.p_value ?? 1,
    threshold: fresh?.verdicts[name]?.threshold,
  }));
  return known.sort((a, b) => a.p - b.p);
}
