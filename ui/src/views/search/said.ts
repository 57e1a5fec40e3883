import type { Schemas } from "../../api/client";

/** What a reference says of a query. */
export type Said = Schemas["ReferenceSaid"];

const SITE = "site";

/** Votes on what images show: neighbours say nothing of the site that one comes from. */
export const votesOf = (answer: Pick<Schemas["SearchAnswer"], "votes">): Schemas["LabelVote"][] =>
  answer.votes.filter(({ name }) => name !== SITE);

/**
 * What is to be said of a query: only what all references flag is unlike anything that is usual
 * here, for each of them knows its own kind alone. The one that fits best says it.
 */
export function unlikeAll(said: readonly Said[]): Said | undefined {
  if (!said.length || !said.every((each) => each.flagged)) return undefined;
  return [...said].sort((a, b) => b.p_value - a.p_value)[0];
}
