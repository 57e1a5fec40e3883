import type { SearchAnswer } from "../../api/client";
import { shortUid } from "../../lib/format";
import type { Messages } from "../../lib/messages";
import { imageName } from "../../lib/names";
import { held } from "./files";
import type { Part } from "./state";

/** What is shown of a part of the query: words, and an item that has a picture. */
export interface PartName {
  words: string;
  item: string;
}

/** Names of what was seen in this visit, so that a chip has its name before the answer is there. */
const seen = new Map<string, PartName>();

export function see(uid: string, name: PartName): void {
  seen.set(uid, name);
}

/** The name of a part; what the answer says of it comes first. */
export function nameOf(
  part: Part,
  at: number,
  answer: SearchAnswer | undefined,
  t: Messages,
): PartName {
  if (part.kind === "text") return { words: `“${part.value}”`, item: "" };
  if (part.kind === "file") {
    const files = held(part.value);
    return { words: files ? t.files(files.length) : t.fileGone, item: "" };
  }
  const told = answer?.queries[at];
  if (told && told.kind === "uid" && isOf(told, part.value)) {
    see(part.value, { words: imageName(told) || shortUid(part.value), item: told.item });
  }
  return seen.get(part.value) ?? { words: shortUid(part.value), item: "" };
}

function isOf(told: SearchAnswer["queries"][number], uid: string): boolean {
  return [
    told.item,
    told.study_instance_uid,
    told.series_instance_uid,
    told.sop_instance_uid,
  ].includes(uid);
}
