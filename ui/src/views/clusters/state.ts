/** What a new clustering is to be made with. */
export interface Wanted {
  method: string;
  name: string;
  /** How many clusters; empty lets the method find out. */
  count: string;
  encoder: string;
  filter: string;
  seed: string;
  /** Parameters of the method that are not as usual. */
  options: [name: string, value: string][];
}

/** How clusters are put in order. */
export const ORDERS = ["size", "name", "firm", "number"] as const;
export type Order = (typeof ORDERS)[number];

/** How the members of a cluster are put in order. */
export const SORTS = ["-confidence", "confidence", "-study_date", "study_date", "age"] as const;
export type Sort = (typeof SORTS)[number];

/** All that the view shows; all of it is in the address. */
export interface ClustersState {
  run: string;
  cluster: number | null;
  /** The clustering that the first is compared with. */
  against: string;
  /** Of a comparison: a cluster of the first, and maybe one of the second. */
  from: number | null;
  to: number | null;
  order: Order;
  /** Words that a cluster's name has to hold. */
  find: string;
  sort: Sort;
  /** The member whose picture is shown large. */
  item: string;
  wanted: Wanted | null;
  /** A job that makes a clustering. */
  job: string;
}

export const EMPTY: ClustersState = {
  run: "",
  cluster: null,
  against: "",
  from: null,
  to: null,
  order: "size",
  find: "",
  sort: "-confidence",
  item: "",
  wanted: null,
  job: "",
};

export const USUAL: Wanted = {
  method: "",
  name: "",
  count: "",
  encoder: "",
  filter: "",
  seed: "",
  options: [],
};

function numbered(said: string | null): number | null {
  return said !== null && /^(-1|\d{1,9})$/.test(said) ? Number(said) : null;
}

const oneOf = <T extends string>(known: readonly T[], said: string | null, usual: T): T =>
  known.find((each) => each === said) ?? usual;

function optionOf(said: string): [string, string][] {
  const at = said.indexOf("=");
  return at > 0 ? [[said.slice(0, at), said.slice(at + 1)]] : [];
}

/** The state that an address tells; what it does not tell, or tells wrongly, is as usual. */
export function parseClusters(params: URLSearchParams): ClustersState {
  const text = (name: string) => params.get(name) ?? "";
  const method = params.get("new");
  return {
    run: text("run"),
    cluster: numbered(params.get("cluster")),
    against: text("against"),
    from: numbered(params.get("from")),
    to: numbered(params.get("to")),
    order: oneOf(ORDERS, params.get("order"), EMPTY.order),
    find: text("find"),
    sort: oneOf(SORTS, params.get("sort"), EMPTY.sort),
    item: text("item"),
    wanted:
      method === null
        ? null
        : {
            method,
            name: text("name"),
            count: text("n"),
            encoder: text("encoder"),
            filter: text("filter"),
            seed: text("seed"),
            options: params.getAll("o").flatMap(optionOf),
          },
    job: text("job"),
  };
}

/** The state as an address has it; `parseClusters` reads it back. */
export function formatClusters(state: ClustersState): URLSearchParams {
  const params = new URLSearchParams();
  const put = (name: string, value: string | number | null, usual: string | null = "") => {
    if (value !== null && value !== usual) params.set(name, String(value));
  };
  put("run", state.run);
  put("cluster", state.cluster);
  put("against", state.against);
  put("from", state.from);
  put("to", state.to);
  put("order", state.order, EMPTY.order);
  put("find", state.find);
  put("sort", state.sort, EMPTY.sort);
  put("item", state.item);
  if (state.wanted) {
    put("new", state.wanted.method, null);
    put("name", state.wanted.name);
    put("n", state.wanted.count);
    put("encoder", state.wanted.encoder);
    put("filter", state.wanted.filter);
    put("seed", state.wanted.seed);
    for (const [name, value] of state.wanted.options) params.append("o", `${name}=${value}`);
  }
  put("job", state.job);
  return params;
}

/** The address of a part of the view, for a link. */
export const hrefOf = (state: Partial<ClustersState>): string => {
  const query = formatClusters({ ...EMPTY, ...state }).toString();
  return query ? `#/clusters?${query}` : "#/clusters";
};
