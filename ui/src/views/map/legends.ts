import type { Messages } from "../../lib/messages";
import { colourName } from "./asking";
import { type Colouring, UNKNOWN } from "./colours";
import type { WORDS } from "./words";

/** What stands above a legend, and what must be said of it. */
export function legendTitle(
  colour: string,
  { rows }: Colouring,
  t: (typeof WORDS)["en"],
  words: Messages,
): { title: string; hint: string } {
  if (colour === "none" || !colour) return { title: t.legend, hint: "" };
  const name = colourName(colour, words);
  const unknown = rows.every(({ key }) => key === UNKNOWN);
  if (colour.startsWith("score:"))
    return { title: t.pOf(name), hint: unknown ? t.noScores(name) : t.pHint };
  return { title: name, hint: rows.length === 1 && unknown ? t.nothingKnown : "" };
}
