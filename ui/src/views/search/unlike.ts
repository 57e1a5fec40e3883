import type { SearchAnswer } from "../../api/client";
import * as api from "../../api/client";
import { type Asked, useAsked } from "../../lib/ask";
import { type Said, unlikeAll } from "./said";
import type { SearchState } from "./state";

/** As many references as the service asks about files. */
const MOST = 5;
const PICTURES_FIRST_MS = 200;

/** Whether references flag the first thing that was asked with. */
export function useUnlike(state: SearchState, asked: Asked<SearchAnswer>): Said | undefined {
  const answer = asked.loading ? undefined : asked.data;
  const first = state.parts.find((part) => part.weight > 0 && part.kind !== "text");
  const told = answer?.queries.find((query) => query.kind === first?.kind && query.weight > 0);
  const study = first?.kind === "uid" ? told?.study_instance_uid : undefined;
  const references = useAsked("references", (signal) => api.references(signal));
  const names = (references.data ?? []).slice(-MOST).map((each) => each.name);
  const ask = study && names.length;
  const judged = useAsked(ask ? `said ${study} ${names}` : null, async (signal) => {
    await rest(PICTURES_FIRST_MS, signal);
    return saidOfStudy(study ?? "", names, signal);
  });
  if (first?.kind === "file") return unlikeAll(answer?.said ?? []);
  return ask ? unlikeAll(judged.data ?? []) : undefined;
}

async function saidOfStudy(study: string, names: string[], signal: AbortSignal): Promise<Said[]> {
  const answers: Said[] = [];
  for (const reference of names) {
    const body = { reference, filter: `study="${study}"`, limit: 1, look: false };
    const found = (await api.scoreItems(body, signal)).studies[0];
    if (found && found.p_value !== null && found.flagged !== null) {
      const { flagged, p_value, reason } = found;
      answers.push({ reference, flagged, p_value, reason });
    }
  }
  return answers;
}

const rest = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((done) => {
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", () => clearTimeout(timer));
  });
