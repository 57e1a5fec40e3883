import { parts, plain } from "./format";
import type { Messages } from "./messages";

interface Imaged {
  modality: string;
  body_part: string;
  view?: string;
  description: string;
}

/** `MR · BRAIN · AX T1`. */
export const imageName = (image: Imaged): string =>
  parts(image.modality, image.body_part, image.view, plain(image.description));

export function fieldName(field: string, t: Messages): string {
  if (field.startsWith("label:")) return plain(field.slice(6));
  return t.fields[field] ?? plain(field);
}

export function valueName(field: string, value: string, t: Messages): string {
  if (field === "sex") return t.sexes[value] ?? value;
  return field === "age" ? value.replace("-", "–") : plain(value);
}
