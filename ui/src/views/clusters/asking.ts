import type { Job, Recurrence, Run, RunDetails } from "../../api/clusters";
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
