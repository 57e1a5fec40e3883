import type { Cluster, Job, Recurrence, Run, RunDetails } from "../../api/clusters";
import * as api from "../../api/clusters";
import { type Asked, useAsked } from "../../lib/ask";
import { useRound } from "./rounds";

export const useRuns = (): Asked<Run[]> => useAsked(`runs ${useRound()}`, api.runs);

export const useRun = (name: string): Asked<RunDetails> => {
  const round = useRound();
  return useAsked(name ? `run ${round} ${name}` : null, (signal) => api.run(name, signal));
};

/** Jobs that make clusterings; of whoever may not ask for any, none and an error. */
export const useMaking = (): Asked<Job[]> =>
  useAsked(`making ${useRound()}`, (signal) => api.jobs("cluster", signal));

export const isOpen = (job: Job): boolean => job.state === "queued" || job.state === "running";

/** How far a clustering comes out alike, as far as it was measured. */
export interface Firmness {
  /** That measures it just now. */
  measuring: Job | undefined;
  /** That measured it last. */
  measured: Job | undefined;
  clusters: Map<number, Recurrence>;
}

export const useFirmness = (run: Run | undefined): Asked<Firmness> => {
  const round = useRound();
  return useAsked(run ? `firm ${round} ${run.name}` : null, async (signal) => {
    const mine = (await api.jobs("cluster-stability", signal)).filter(
      (job) => job.parameters.run === run?.name && job.created_at >= (run?.created_at ?? ""),
    );
    const measured = mine.find((job) => job.state === "done");
    const rows = measured ? await api.recurrences(measured.id, signal) : [];
    return {
      measuring: mine.find(isOpen),
      measured,
      clusters: new Map(rows.map((row) => [row.cluster, row])),
    };
  });
};

/** A value that sets a cluster apart from the rest. */
export interface Trait {
  field: string;
  value: string;
  inside: number;
  outside: number;
}

/** What is told of a cluster, as far as it can be read. */
export interface About {
  exemplars: string[];
  borderline: string[];
  traits: Trait[];
  words: string[];
  phrase: string;
  warnings: string[];
}

const texts = (value: unknown): string[] =>
  Array.isArray(value) ? value.filter((each) => typeof each === "string") : [];

function traitOf(row: unknown): Trait[] {
  if (typeof row !== "object" || row === null) return [];
  const said = new Map<string, unknown>(Object.entries(row));
  const [field, value] = [said.get("field"), said.get("value")];
  const [inside, outside] = [said.get("share_inside"), said.get("share_outside")];
  const known = typeof field === "string" && typeof value === "string";
  if (!known || typeof inside !== "number" || typeof outside !== "number") return [];
  return [{ field, value, inside, outside }];
}

export function aboutOf(cluster: Cluster): About {
  const { exemplars, borderline, enriched, words, phrase, warnings } = cluster.about;
  return {
    exemplars: texts(exemplars),
    borderline: texts(borderline),
    traits: Array.isArray(enriched) ? enriched.flatMap(traitOf) : [],
    words: texts(words),
    phrase: typeof phrase === "string" ? phrase : "",
    warnings: texts(warnings),
  };
}
