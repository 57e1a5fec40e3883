import { useReducer, useState } from "react";
import { Problem } from "../../api/client";
import * as api from "../../api/qa";

/** Somebody else was quicker: what there is now is known, and what was wanted is not lost. */
export interface Conflict {
  study: string;
  verdict: api.Verdict;
}

export interface Trouble {
  study: string;
  problem: Problem;
  again: () => void;
}

export interface Reviewing {
  /** The review of a study as it is known now. */
  of: (study: string, listed: api.Review | null | undefined) => api.Review | null;
  decide: (
    study: string,
    verdict: api.Verdict,
    seen: api.Review | null,
  ) => Promise<api.Review | undefined>;
  /** Takes the last verdict of this visit back, else that of the study; the study, if there was one. */
  undo: (study: string, seen: api.Review | null) => Promise<string | undefined>;
  conflict: Conflict | undefined;
  trouble: Trouble | undefined;
  dismiss: () => void;
  busy: boolean;
  /** Grows with every verdict. */
  round: number;
}

// What was decided and typed in this visit; it outlives the list, which is asked for again.
const known = new Map<string, api.Review>();
const decided = new Map<string, string[]>();
const drafts = new Map<string, string>();

export const draftOf = (study: string, review: api.Review | null): string =>
  drafts.get(study) ?? review?.comment ?? "";
export const keepDraft = (study: string, text: string): void => {
  drafts.set(study, text);
};

const problemOf = (error: unknown): Problem =>
  error instanceof Problem ? error : new Problem(0, "page", String(error));

/** Verdicts in the queue of a reference, by people who do not write over each other. */
export function useReviewing(reference: string): Reviewing {
  const queue = api.queueOf(reference);
  const [round, next] = useReducer((n: number) => n + 1, 0);
  const [conflict, setConflict] = useState<Conflict | undefined>();
  const [trouble, setTrouble] = useState<Trouble | undefined>();
  const [busy, setBusy] = useState(false);
  const name = (study: string) => `${queue} ${study}`;
  const mine = () => decided.get(queue) ?? [];

  const of: Reviewing["of"] = (study, listed) => {
    const own = known.get(name(study));
    if (!own) return listed ?? null;
    return listed && listed.version > own.version ? listed : own;
  };
  function took(study: string, review: api.Review): void {
    known.set(name(study), review);
    drafts.delete(study);
    next();
  }
  async function attempt<T>(study: string, act: () => Promise<T>, again: () => void) {
    setBusy(true);
    setTrouble(undefined);
    setConflict(undefined);
    try {
      return await act();
    } catch (error) {
      setTrouble({ study, problem: problemOf(error), again });
      return undefined;
    } finally {
      setBusy(false);
    }
  }
  /** What there is now, after somebody else was quicker. */
  async function lookAgain(study: string, verdict: api.Verdict): Promise<undefined> {
    known.set(name(study), await api.review(queue, study));
    setConflict({ study, verdict });
    next();
  }
  const decide: Reviewing["decide"] = (study, verdict, seen) => {
    const comment = draftOf(study, seen).trim();
    const act = async () => {
      try {
        const review = await api.decide(queue, study, { verdict, comment }, seen);
        took(study, review);
        decided.set(queue, [...mine(), study]);
        return review;
      } catch (error) {
        if (api.isConflict(problemOf(error))) return lookAgain(study, verdict);
        throw error;
      }
    };
    return attempt(study, act, () => void decide(study, verdict, seen));
  };
  const undo: Reviewing["undo"] = (study, seen) => {
    const last = mine().at(-1) ?? study;
    const review = of(last, last === study ? seen : null);
    const act = async () => {
      if (!review?.undoable) return undefined;
      try {
        took(last, await api.undo(queue, last, review));
      } catch (error) {
        if (!api.isConflict(problemOf(error))) throw error;
        await lookAgain(last, review.verdict);
      }
      decided.set(queue, mine().slice(0, -1));
      return last;
    };
    return attempt(last, act, () => void undo(study, seen));
  };
  function dismiss(): void {
    setConflict(undefined);
    setTrouble(undefined);
  }
  return { of, decide, undo, conflict, trouble, dismiss, busy, round };
}
