import type { Role } from "../../api/library";

export const TABS = ["overview", "ingest", "rejected", "spaces", "jobs", "keys", "audit"] as const;
export type Tab = (typeof TABS)[number];

export const JOB_STATES = ["queued", "running", "done", "failed", "stopped"] as const;
export const ACTIONS = [
  "query",
  "view",
  "export",
  "arrive",
  "change",
  "remove",
  "login",
  "logout",
  "refuse",
  "keys",
  "audit",
  "start",
  "stop",
] as const;
export const OUTCOMES = ["success", "refused", "failed"] as const;

/** All that the library view shows, as the address has it. */
export interface LibraryState {
  tab: Tab;
  /** Rows of the list that is shown. */
  n: number;
  /** Of refused files. */
  reason: string;
  /** Of jobs: their state and kind, and the one whose details are open. */
  state: string;
  kind: string;
  job: string;
  /** Keys that are over, too. */
  all: boolean;
  /** The form for a new key is open. */
  making: boolean;
  /** Of the audit. */
  since: string;
  actor: string;
  action: string;
  outcome: string;
}

export const STEP = 50;
export const MOST = 500;

export const EMPTY: LibraryState = {
  tab: "overview",
  n: STEP,
  reason: "",
  state: "",
  kind: "",
  job: "",
  all: false,
  making: false,
  since: "",
  actor: "",
  action: "",
  outcome: "",
};

const among = <T extends string>(all: readonly T[], said: string | null): T | undefined =>
  all.find((each) => each === said);

/** The state that an address tells; what it does not tell, or tells wrongly, is as usual. */
export function parseLibrary(params: URLSearchParams): LibraryState {
  const said = (name: string) => params.get(name) ?? "";
  const since = said("since");
  return {
    tab: among(TABS, params.get("tab")) ?? EMPTY.tab,
    n: Math.min(MOST, Math.max(1, Number.parseInt(said("n"), 10) || STEP)),
    reason: said("reason"),
    state: among(JOB_STATES, params.get("state")) ?? "",
    kind: said("kind"),
    job: said("job"),
    all: said("all") === "yes",
    making: said("new") === "yes",
    since: /^\d{4}-\d\d-\d\d$/.test(since) ? since : "",
    actor: said("actor"),
    action: among(ACTIONS, params.get("action")) ?? "",
    outcome: among(OUTCOMES, params.get("outcome")) ?? "",
  };
}

/** The state as an address has it; `parseLibrary` reads it back. */
export function formatLibrary(state: LibraryState): URLSearchParams {
  const params = new URLSearchParams();
  if (state.tab !== EMPTY.tab) params.set("tab", state.tab);
  if (state.n !== STEP) params.set("n", String(state.n));
  if (state.all) params.set("all", "yes");
  if (state.making) params.set("new", "yes");
  for (const name of [
    "reason",
    "state",
    "kind",
    "job",
    "since",
    "actor",
    "action",
    "outcome",
  ] as const)
    if (state[name]) params.set(name, state[name]);
  return params;
}

const ROLES: readonly Role[] = ["monitor", "reader", "curator", "operator", "admin"];

/** What each tab takes. */
export const NEEDS: Record<Tab, Role> = {
  overview: "reader",
  ingest: "reader",
  rejected: "reader",
  spaces: "reader",
  jobs: "curator",
  keys: "admin",
  audit: "admin",
};

/** Whether a role may do what takes another one. */
export const includes = (role: Role, other: Role): boolean =>
  ROLES.indexOf(role) >= ROLES.indexOf(other);

/** Roles of keys that somebody may make: none above their own. */
export const grantable = (role: Role): Role[] =>
  ROLES.filter((each) => includes(role, each)).reverse();

export const tabsFor = (role: Role): Tab[] => TABS.filter((tab) => includes(role, NEEDS[tab]));
