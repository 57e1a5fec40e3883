import { type Schemas, sent, told } from "./client";
import type { Matched, RegionsFound } from "./compare";

/** Files that stand for one query: one of them, or those of one study. */
export type Files = readonly File[];
export type FileLook = Schemas["FileLook"];

const asOne = (files: Files) => ({ one_study: files.length > 1 });

/** A frame of them, drawn by the service; nothing of them is kept there. */
export const lookAt = (
  files: Files,
  asked: Omit<Schemas["FileLookAsked"], "one_study">,
  signal: AbortSignal,
): Promise<FileLook> => told(sent("/v1/files/look", { ...asked, ...asOne(files) }, files, signal));

/** Where they and an item are alike, place by place. */
export const matchFiles = (files: Files, hit: string, signal: AbortSignal): Promise<Matched> =>
  told(sent("/v1/files/matching", { hit, ...asOne(files) }, files, signal));

/** Images that have something like a part of their picture. */
export const searchRegionOfFiles = (
  files: Files,
  asked: Pick<Schemas["RegionFilesAsked"], "box" | "number" | "k" | "filter" | "candidates">,
  signal: AbortSignal,
): Promise<RegionsFound> =>
  told(sent("/v1/search/region/files", { ...asked, ...asOne(files) }, files, signal));

export const addressOf = ({ picture }: FileLook): string => `data:image/png;base64,${picture}`;
