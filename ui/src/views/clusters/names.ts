import type { Cluster } from "../../api/clusters";
import { plain } from "../../lib/format";
import { NOISE } from "./flows";
import type { Order } from "./state";
import type { ClusterWords } from "./words";

export function called(cluster: Cluster, w: ClusterWords): string {
  if (cluster.given_name) return cluster.given_name;
  if (cluster.cluster === NOISE) return w.noiseName;
  return cluster.name === "" || cluster.name === "unnamed" ? w.unnamed : plain(cluster.name);
}

/** 0.994 is `99 %`: a share is only all of it where it is all. */
export function part(share: number): string {
  const percent = Math.round(share * 100);
  if (share > 0 && percent === 0) return "< 1 %";
  return `${share < 1 && percent === 100 ? 99 : percent} %`;
}

/** When something was made, in the words of the reader: times of the service are UTC. */
export function day(iso: string, language: string): string {
  const when = new Date(/[Z+]/.test(iso.slice(10)) ? iso : `${iso}Z`);
  if (Number.isNaN(when.getTime())) return iso;
  return new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" }).format(
    when,
  );
}

/** Clusters whose name holds the words, in an order; noise is none of them. */
export function arranged(
  clusters: readonly Cluster[],
  find: string,
  order: Order,
  firmness: ReadonlyMap<number, { mean: number }>,
  w: ClusterWords,
): Cluster[] {
  const words = find.toLowerCase().split(/\s+/).filter(Boolean);
  const shown = clusters.filter(
    (each) =>
      each.cluster !== NOISE && words.every((word) => called(each, w).toLowerCase().includes(word)),
  );
  const firm = (each: Cluster) => firmness.get(each.cluster)?.mean ?? 2;
  const by: Record<Order, (a: Cluster, b: Cluster) => number> = {
    size: (a, b) => b.size - a.size,
    name: (a, b) => called(a, w).localeCompare(called(b, w)),
    firm: (a, b) => firm(a) - firm(b),
    number: () => 0,
  };
  return shown.sort((a, b) => by[order](a, b) || a.cluster - b.cluster);
}
