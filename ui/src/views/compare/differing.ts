import type { Messages } from "../../lib/messages";
import { fieldName, valueName } from "../../lib/names";
import type { Side } from "./asking";
import type { CompareWords } from "./words";

/** One field of both. */
export interface Row {
  field: string;
  name: string;
  ours: string;
  theirs: string;
  differs: boolean;
}

type Told = Map<string, string>;

/** What is known of a side, by field, in the order in which it is shown. */
function toldOf({ study, series, item }: Side, t: Messages, words: CompareWords): Told {
  const spacing = item.details.spacing_mm;
  const told: Told = new Map([
    ["modality", series.modality],
    ["body_part", series.body_part],
    ["view", series.view],
    ["sex", study.sex],
    ["age", study.age_years === null ? "" : String(Math.floor(study.age_years))],
    ["study_date", study.study_date],
    ["manufacturer", series.manufacturer],
    ["model", series.model],
    ["study_description", study.description],
    ["series_description", series.description],
    ["slices", item.slices > 1 ? String(item.slices) : ""],
    [
      "spacing",
      Array.isArray(spacing) ? spacing.map((each) => Number(each).toFixed(2)).join(" × ") : "",
    ],
    ["split", study.split],
  ]);
  const shown: Told = new Map();
  for (const [field, value] of told)
    shown.set(
      field === "spacing" ? words.spacing : fieldName(field, t),
      valueName(field, value, t),
    );
  for (const [name, values] of Object.entries(item.labels)) {
    const field = `label:${name}`;
    shown.set(fieldName(field, t), values.map((each) => valueName(field, each, t)).join(", "));
  }
  return shown;
}

/** All fields that either has, those that differ first. */
export function rowsOf(ours: Side, theirs: Side, t: Messages, words: CompareWords): Row[] {
  const mine = toldOf(ours, t, words);
  const its = toldOf(theirs, t, words);
  const rows = [...new Set([...mine.keys(), ...its.keys()])].map((name) => {
    const [one, other] = [mine.get(name) ?? "", its.get(name) ?? ""];
    return { field: name, name, ours: one, theirs: other, differs: one !== other };
  });
  return rows
    .filter((row) => row.ours || row.theirs)
    .sort((a, b) => Number(b.differs) - Number(a.differs));
}

const DAY = 86_400_000;

/** Days from our study to theirs, where both are of one patient and have whole dates. */
export function daysBetween(ours: Side, theirs: Side): number | undefined {
  const [one, other] = [ours.study, theirs.study];
  if (!one.patient || one.patient !== other.patient || one.patient_shared_by_strangers)
    return undefined;
  const days = (Date.parse(other.study_date) - Date.parse(one.study_date)) / DAY;
  return Number.isFinite(days) ? Math.round(days) : undefined;
}
