import { study as askStudy, type Schemas } from "../../api/client";
import { itemLabels, type Review } from "../../api/curate";
import { type Asked, useAsked } from "../../lib/ask";
import { plain, who } from "../../lib/format";
import type { Messages } from "../../lib/messages";

type Series = Schemas["SeriesDetails"];

/** One thing that a subject is: the item that is looked at, with what is known around it. */
export interface Seen {
  id: string;
  slices: number;
  volume: boolean;
  study: Schemas["StudyDetails"];
  series: Series;
  /** Of the item and of its study: of each name its values. */
  labels: Record<string, string[]>;
}

/** What a finding said; each task says a part of it. */
export interface Finding {
  task?: string;
  label?: string;
  first?: string;
  kind?: string;
  kinship?: string;
  cosine?: number;
  correlation?: number | null;
  split?: string;
  other_split?: string;
  items?: number;
  other_items?: number;
  rank?: number;
  typicality?: number;
  covered?: number;
  given?: string;
  suggested?: string;
  quality?: number;
  confident?: boolean;
  disagreeing?: string[];
}

export const findingOf = (review: Review): Finding => review.finding as Finding;

/** The parts in the order of the finding: UIDs alone are sorted. */
function ordered(review: Review): Review["parts"] {
  const { first } = findingOf(review);
  return first && review.parts[1]?.uid === first ? [...review.parts].reverse() : review.parts;
}

/** The item of a UID in its study: itself, or the first of a series or of the study. */
function seenIn(study: Schemas["StudyDetails"], uid: string): Omit<Seen, "labels"> | undefined {
  const all = study.series.flatMap((series) => series.items.map((item) => ({ item, series })));
  const found =
    all.find(({ item }) => item.id === uid) ??
    all.find(({ series }) => series.series_instance_uid === uid) ??
    all[0];
  if (!found) return undefined;
  const { item, series } = found;
  return { id: item.id, slices: item.slices, volume: item.kind === "volume", study, series };
}

/** What a review is about, as the library has it now. */
export function useSeen(review: Review | undefined): Asked<Seen[]> {
  const parts = review ? ordered(review) : [];
  const key = review ? `seen ${parts.map((part) => part.uid).join(" ")} ${review.version}` : null;
  return useAsked(key, async (signal) => {
    const found = await Promise.all(
      parts.map(async ({ uid, study_instance_uid }) => {
        const seen = seenIn(await askStudy(study_instance_uid, signal), uid);
        return seen && { ...seen, labels: await itemLabels(seen.id, signal) };
      }),
    );
    return found.filter((each) => each !== undefined);
  });
}

/** Fields of an item as somebody compares them, those that nobody knows left out. */
export function fieldsOf(seen: Seen, t: Messages): [field: string, value: string][] {
  const { study, series } = seen;
  const known: [string, string | undefined][] = [
    ["patient", study.patient_shared_by_strangers ? "" : study.patient.slice(0, 10)],
    ["sex", t.sexes[study.sex] ?? study.sex],
    ["age", who("", study.age_years)],
    ["study_date", study.study_date],
    ["modality", series.modality],
    ["body_part", series.body_part],
    ["view", series.view],
    ["study_description", plain(study.description)],
    ["series_description", plain(series.description)],
    ["manufacturer", series.manufacturer],
    ["model", series.model],
    ["slices", seen.volume ? String(seen.slices) : ""],
    ["split", study.split],
  ];
  for (const name of Object.keys(seen.labels).sort())
    known.push([`label:${name}`, labelsOf(seen, name).join(", ")]);
  return known.filter((each): each is [string, string] => Boolean(each[1]));
}

/** Values of a label: of the item itself and of its study. */
export const labelsOf = (seen: Seen, name: string): string[] => seen.labels[name] ?? [];
