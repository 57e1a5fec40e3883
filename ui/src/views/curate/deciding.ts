import { useRef, useState } from "react";
import { Problem } from "../../api/client";
import * as api from "../../api/curate";
import type { Deck } from "./deck";
import { quiet, recall, send } from "./unsent";

export interface Deciding {
  decide: (verdict: api.Verdict, labels?: string[]) => void;
  undo: () => void;
  problem: Problem | undefined;
  comment: string;
  setComment: (comment: string) => void;
}

interface Decided {
  before: api.Review;
}

/** Decisions about the subject that is shown: each counts at once, and is sent behind it. */
export function useDeciding(deck: Deck, me: string, goTo: (at: string) => void): Deciding {
  const { current } = deck;
  const mine = useRef<Decided[]>([]);
  const [problem, setProblem] = useState<Problem | undefined>();
  const [typed, setTyped] = useState<{ subject: string; comment: string } | undefined>();
  const comment =
    typed && typed.subject === current?.subject ? typed.comment : (current?.comment ?? "");

  function decide(verdict: api.Verdict, labels: string[] = []): void {
    if (!current) return;
    const { queue, subject, version } = current;
    send({ queue, subject, verdict, comment: comment.trim(), labels, version });
    mine.current.push({ before: current });
    deck.put({
      ...current,
      verdict,
      labels,
      comment: comment.trim(),
      by: me,
      at: new Date().toISOString(),
      undoable: true,
      claimed_by: "",
    });
    setTyped(undefined);
    setProblem(undefined);
    deck.move(1);
  }

  async function undo(): Promise<void> {
    const target = current?.verdict ? current : mine.current.at(-1)?.before;
    if (!target) return;
    const { queue, subject } = target;
    const at = mine.current.findLastIndex(({ before }) => before.subject === subject);
    const [decided] = at < 0 ? [] : mine.current.splice(at, 1);
    setProblem(undefined);
    try {
      if (decided && recall(queue, subject)) deck.put(decided.before);
      else {
        await quiet();
        const { review } = await api.review(queue, subject);
        deck.put(
          review.undoable ? (await api.undo(queue, subject, review.version)).review : review,
        );
      }
      goTo(subject);
    } catch (error) {
      if (decided) mine.current.push(decided);
      setProblem(error instanceof Problem ? error : new Problem(0, "page", String(error)));
    }
  }

  return {
    decide,
    undo: () => void undo(),
    problem,
    comment,
    setComment: (said) => current && setTyped({ subject: current.subject, comment: said }),
  };
}
