import { useEffect, useMemo } from "react";
import * as api from "../../api/curate";
import { useAsked } from "../../lib/ask";
import { useKeySheet } from "../../lib/keys";
import { go } from "../../lib/route";
import { useWords, useWordsOf } from "../../lib/settings";
import { ProblemNotice } from "../../parts/Notice";
import { Decisions } from "./Decisions";
import { Start } from "./Start";
import { type CurateState, formatCurate, parseCurate } from "./state";
import { Unsent } from "./Unsent";
import { drain } from "./unsent";
import { Work } from "./Work";
import { WORDS } from "./words";
import "../../style/curate.css";

export type Update = (change: Partial<CurateState>, how?: "push" | "replace") => void;

/** Work queues: what was found, decided one by one; what is shown follows from the address. */
export function CurateView({ params }: { params: URLSearchParams }) {
  const t = useWordsOf(WORDS);
  const shared = useWords();
  const state = useMemo(() => parseCurate(params), [params]);
  const session = useAsked("session", api.session);
  const { role = "", name = "" } = session.data ?? {};
  const reader = role === "reader" || role === "monitor";
  const update: Update = (change, how = "push") =>
    go({ view: "curate", params: formatCurate({ ...state, ...change }) }, how);
  useKeySheet(t.sheet);
  useEffect(() => void drain(), []); // what an earlier visit left
  const list = state.list || (reader ? "all" : "");
  return (
    <main id="main" tabIndex={-1} className="curate">
      <Unsent onLook={(queue, at) => update({ queue, at, list: "" })} />
      {!state.queue ? (
        <Start reader={reader} update={update} />
      ) : session.error ? (
        <ProblemNotice problem={session.error} retry={session.retry} />
      ) : !session.data ? (
        <div className="screens bone" aria-busy="true" />
      ) : list ? (
        <Decisions key={state.queue} state={{ ...state, list }} reader={reader} update={update} />
      ) : (
        <Work key={state.queue} state={state} me={name} update={update} />
      )}
      {!(state.queue && !list) && <footer>{shared.research}</footer>}
    </main>
  );
}
