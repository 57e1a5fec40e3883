import type { ScoresAsked } from "../../api/qa";
import { type Choice, filterOf } from "../search/state";

export const TABS = ["incoming", "drift", "references"] as const;
export const SHOWN = ["flagged", "open", "unjudged", "all"] as const;
export type Tab = (typeof TABS)[number];
export type Shown = (typeof SHOWN)[number];

/** All that the view shows. */
export interface QaState {
  tab: Tab;
  /** Name of a reference; empty for the newest. */
  reference: string;
  /** The study whose details are open, or nothing. */
  study: string;
  /** The item of it whose picture is shown; empty for the oddest. */
  item: string;
  show: Shown;
  order: "new" | "odd";
  choices: Choice[];
  /** In the filter language, beside the choices. */
  filter: string;
  /** The report on drift that is shown; empty for the newest. */
  job: string;
  /** The detector whose average is drawn; empty for the one that left its limits furthest. */
  detector: string;
}

export const EMPTY: QaState = {
  tab: "incoming",
  reference: "",
  study: "",
  item: "",
  show: "flagged",
  order: "new",
  choices: [],
  filter: "",
  job: "",
  detector: "",
};

function choiceOf(said: string): Choice | undefined {
  const at = said.indexOf("=");
  return at > 0 ? { field: said.slice(0, at), value: said.slice(at + 1) } : undefined;
}

const oneOf = <T extends string>(said: string | null, known: readonly T[], usual: T): T =>
  known.find((each) => each === said) ?? usual;

/** The state that an address tells; what it does not tell, or tells wrongly, is as usual. */
export function parseQa(params: URLSearchParams): QaState {
  return {
    tab: oneOf(params.get("tab"), TABS, EMPTY.tab),
    reference: params.get("reference") ?? "",
    study: params.get("study") ?? "",
    item: params.get("item") ?? "",
    show: oneOf(params.get("show"), SHOWN, EMPTY.show),
    order: params.get("order") === "odd" ? "odd" : "new",
    choices: params.getAll("f").flatMap((said) => choiceOf(said) ?? []),
    filter: params.get("filter") ?? "",
    job: params.get("job") ?? "",
    detector: params.get("detector") ?? "",
  };
}

/** The state as an address has it; `parseQa` reads it back. */
export function formatQa(state: QaState): URLSearchParams {
  const params = new URLSearchParams();
  for (const name of ["reference", "tab", "show", "order"] as const)
    if (state[name] !== EMPTY[name]) params.set(name, state[name]);
  for (const { field, value } of state.choices) params.append("f", `${field}=${value}`);
  for (const name of ["filter", "study", "item", "job", "detector"] as const)
    if (state[name]) params.set(name, state[name]);
  return params;
}

/** The list that a state shows, as the service is asked for it. */
export function scoresOf(state: QaState, reference: string): Omit<ScoresAsked, "cursor" | "limit"> {
  return {
    reference,
    ...(state.show === "flagged" && { flagged: true }),
    ...(state.show === "open" && { flagged: true, decided: false }),
    ...(state.show === "unjudged" && { judged: false }),
    filter: filterOf(state.choices, state.filter),
    sort: state.order === "new" ? "-judged_at" : "p_value",
  };
}
