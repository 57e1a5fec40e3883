import { uploadLimitMb } from "../../api/client";

/** Files that were dropped, pasted or opened in this visit, by a number that stands for them. */
const dropped = new Map<string, readonly File[]>();
let last = 0;

export type FileTrouble = { kind: "large"; mb: number } | { kind: "empty" };

/** What is wrong with files before anything of them is sent. */
export function troubleWith(files: readonly File[]): FileTrouble | undefined {
  const bytes = files.reduce((sum, file) => sum + file.size, 0);
  const mb = uploadLimitMb();
  if (mb && bytes > mb * 1024 * 1024) return { kind: "large", mb };
  return bytes === 0 ? { kind: "empty" } : undefined;
}

/** Hold files; the address has only the number that is given back, never their names. */
export function hold(files: readonly File[]): string {
  last += 1;
  const key = `${Date.now().toString(36)}${last}`;
  dropped.set(key, files);
  return key;
}

/** Whether they are few enough to be sent once more, only to be shown small. */
export const light = (files: readonly File[]): boolean =>
  files.reduce((sum, file) => sum + file.size, 0) < 32 * 1024 * 1024;

/** An address of a picture that was dropped, to be shown; nothing of what no browser draws. */
export function previewOf(key: string): string {
  const file = dropped.get(key)?.[0];
  if (!file || !/^image\/(png|jpeg|webp|gif|bmp)$/.test(file.type)) return "";
  const known = previews.get(key) ?? URL.createObjectURL(file);
  previews.set(key, known);
  return known;
}

const previews = new Map<string, string>();

export const held = (key: string): readonly File[] | undefined => dropped.get(key);
