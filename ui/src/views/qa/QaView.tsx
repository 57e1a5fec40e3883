import { useEffect, useMemo } from "react";
import "../../style/qa.css";
import type { Reference } from "../../api/qa";
import { useKeySheet, useKeys } from "../../lib/keys";
import { go } from "../../lib/route";
import { useWords, useWordsOf } from "../../lib/settings";
import { Notice, ProblemNotice } from "../../parts/Notice";
import { useReferences } from "./asking";
import { Drift } from "./Drift";
import { Incoming } from "./Incoming";
import { References } from "./References";
import { formatQa, parseQa, type QaState, TABS } from "./state";
import { WORDS } from "./words";

export type Update = (change: Partial<QaState>, how?: "push" | "replace") => void;

export interface PlaceProps {
  state: QaState;
  reference: Reference;
  update: Update;
}

/** Whether what arrives is like what a model was validated on; what is shown is in the address. */
export function QaView({ params }: { params: URLSearchParams }) {
  const w = useWordsOf(WORDS);
  const state = useMemo(() => parseQa(params), [params]);
  const references = useReferences();
  const known = references.data;
  const reference = state.reference
    ? known?.find((each) => each.name === state.reference)
    : known?.at(-1);
  const update: Update = (change, how = "push") =>
    go({ view: "qa", params: formatQa({ ...state, ...change }) }, how);
  const nextTab = TABS[(TABS.indexOf(state.tab) + 1) % TABS.length] ?? "incoming";
  useKeys({ t: () => update({ tab: nextTab, study: "", item: "", job: "" }) });
  useKeySheet(w.sheet);
  // biome-ignore lint/correctness/useExhaustiveDependencies: each part begins at its top
  useEffect(() => {
    window.scrollTo(0, 0);
  }, [state.tab]);
  return (
    <div className="qa">
      <Head state={state} known={known ?? []} reference={reference} update={update} />
      <main id="main" tabIndex={-1} aria-busy={references.loading && !known}>
        {references.error && <ProblemNotice problem={references.error} retry={references.retry} />}
        {!known && references.loading && <div className="coming-view bone" />}
        {known?.length === 0 && <References state={state} references={[]} update={update} />}
        {known && known.length > 0 && !reference && (
          <Notice
            kind="warn"
            title={w.unknownReference(state.reference)}
            actions={
              <button type="button" className="button" onClick={() => update({ reference: "" })}>
                {w.takeNewest}
              </button>
            }
          />
        )}
        {known && reference && (
          <Tab state={state} reference={reference} known={known} update={update} />
        )}
      </main>
    </div>
  );
}

function Tab({ known, ...place }: PlaceProps & { known: Reference[] }) {
  const { tab } = place.state;
  if (tab === "references")
    return <References {...place} references={known} key={place.reference.name} />;
  if (tab === "drift") return <Drift {...place} key={place.reference.name} />;
  return <Incoming {...place} key={place.reference.name} />;
}

interface HeadProps {
  state: QaState;
  known: Reference[];
  reference: Reference | undefined;
  update: Update;
}

function Head({ state, known, reference, update }: HeadProps) {
  const t = useWords();
  const w = useWordsOf(WORDS);
  return (
    <header className="qa-head">
      <h1>{t.qa}</h1>
      <nav className="qa-tabs" aria-label={w.tab}>
        {TABS.map((tab) => (
          <button
            key={tab}
            type="button"
            aria-current={state.tab === tab ? "page" : undefined}
            onClick={() => update({ tab, study: "", item: "", job: "" })}
          >
            {w.tabs[tab]}
          </button>
        ))}
      </nav>
      {known.length > 0 && (
        <label className="pick">
          {w.reference}
          <select
            value={reference?.name ?? ""}
            onChange={(event) =>
              update({ reference: event.target.value, study: "", item: "", job: "", detector: "" })
            }
          >
            {!reference && <option value="">{state.reference}</option>}
            {known.map(({ name }) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
      )}
    </header>
  );
}
