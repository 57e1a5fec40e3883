/** As a word of a shell: what is between the quotes means itself. */
const quoted = (said: string): string => `'${said.replaceAll("'", "'\\''")}'`;

const isUsual = (key: string, value: unknown): boolean =>
  value === "" ||
  value === false ||
  (key === "weight" && value === 1) ||
  (key === "group" && value === "study");

/** What a request says; what is as usual need not be said. */
function told(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(told);
  if (typeof value !== "object" || value === null) return value;
  const unusual = Object.entries(value).filter(([key, each]) => !isUsual(key, each));
  return Object.fromEntries(unusual.map(([key, each]) => [key, told(each)]));
}

const MOST = 4;
const inLines = (parts: string[]): string => parts.join(" \\\n  ");

/** A search as a command for a shell. Files are called FILE: their names stay here. */
export function curlOf(origin: string, body: object, files: number): string {
  const json = JSON.stringify(told(body));
  if (!files)
    return inLines([
      `curl ${origin}/v1/search`,
      "-H 'Content-Type: application/json'",
      `-d ${quoted(json)}`,
    ]);
  const names = Array.from({ length: files }, (_, at) => (files === 1 ? "FILE" : `FILE${at + 1}`));
  const few = names.length > MOST ? [...names.slice(0, MOST - 1), "…"] : names;
  return inLines([
    `curl ${origin}/v1/search/files`,
    `-F ${quoted(`request=${json}`)}`,
    ...few.map((name) => `-F file=@${name}`),
  ]);
}
