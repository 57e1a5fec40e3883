export const LISTS = ["", "all", "open", "accept", "reject", "skip"] as const;
export const LOOKS = ["side", "blink", "difference"] as const;
export type List = (typeof LISTS)[number];
export type Look = (typeof LOOKS)[number];

/** What the address of the view tells. */
export interface CurateState {
  /** The queue that somebody works at; nothing shows all. */
  queue: string;
  /** The subject that is shown; nothing takes the next one. */
  at: string;
  /** The list of those that stand so, in place of one subject; "" for none. */
  list: List;
  /** How a pair is shown. */
  look: Look;
}

export const START: CurateState = { queue: "", at: "", list: "", look: "side" };

const oneOf = <T extends string>(known: readonly T[], said: string | null, usual: T): T =>
  known.find((each) => each === said) ?? usual;

/** The state that an address tells; what it does not tell, or tells wrongly, is as usual. */
export function parseCurate(params: URLSearchParams): CurateState {
  return {
    queue: params.get("queue") ?? "",
    at: params.get("at") ?? "",
    list: oneOf(LISTS, params.get("list"), ""),
    look: oneOf(LOOKS, params.get("look"), "side"),
  };
}

/** The state as an address has it; `parseCurate` reads it back. */
export function formatCurate(state: CurateState): URLSearchParams {
  const params = new URLSearchParams();
  if (state.queue) params.set("queue", state.queue);
  if (state.at) params.set("at", state.at);
  if (state.list) params.set("list", state.list);
  if (state.look !== "side") params.set("look", state.look);
  return params;
}
