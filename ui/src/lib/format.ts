/** `2024-01-31` as it stands, `2024` of what has no day; nothing where nothing is known. */
export const parts = (...said: (string | number | null | undefined | false)[]): string =>
  said
    .filter((each) => each !== null && each !== undefined && each !== false && each !== "")
    .join(" · ");

/** Sex and whole years: `F 44`. */
export function who(sex: string, age: number | null | undefined): string {
  return [sex, age === null || age === undefined ? "" : Math.floor(age)]
    .filter((x) => x !== "")
    .join(" ");
}

/** So many decimals, with the mark of the language before them. */
export const decimal = (value: number, digits: number, language: string): string =>
  value.toFixed(digits).replace(".", language === "de" ? "," : ".");

/** A share of random pairs, never rounded up to all of them: 99.96 is 99.9. */
export function percentile(value: number, language = "en"): string {
  return value >= 99 ? decimal(Math.min(value, 99.9), 1, language) : String(Math.floor(value));
}

export const percent = (share: number): string => `${Math.round(share * 100)} %`;

/** Making one takes longer than all that it writes on a page. */
const grouping = new Map<string, Intl.NumberFormat>();

/** How many pixels, bytes, studies: grouped by the language. */
export function count(value: number, language: string): string {
  const format = grouping.get(language) ?? new Intl.NumberFormat(language);
  grouping.set(language, format);
  return format.format(value);
}

/** A value of a label or a tag as a person reads it. */
export const plain = (value: string): string => value.replaceAll("_", " ");

/** The last part of a UID, which is where they differ. */
export const shortUid = (uid: string): string => (uid.length > 14 ? `…${uid.slice(-10)}` : uid);

/** Whether what was typed or pasted is a UID: digits with points between them. */
export const isUid = (text: string): boolean =>
  /^[0-2](\.\d+){2,}$/.test(text) && text.length <= 64;
