import { useEffect, useMemo, useState } from "react";
import { count } from "../../lib/format";
import { useSettings, useWordsOf } from "../../lib/settings";
import { Icon } from "../../parts/Icon";
import { Notice, ProblemNotice } from "../../parts/Notice";
import { Thumb } from "../../parts/Thumb";
import { NONE } from "./geometry";
import { isOther, type PointIds, useIds } from "./ids";
import { Keep } from "./Keep";
import type { MapState } from "./state";
import { WORDS } from "./words";

interface ChosenProps {
  state: MapState;
  /** Places of the chosen points in the order of the map. */
  chosen: Uint32Array;
  of: number;
  ids: PointIds | undefined;
  pointed: number;
  onPoint: (at: number) => void;
  onOpen: (at: number) => void;
  onClear: () => void;
  /** They have got other labels or tags. */
  onChanged: () => void;
}

const STEP = 60;
const EXAMPLES = 6;

/** The pictures that are chosen, and what can be done with them. */
export function Chosen(props: ChosenProps) {
  const { state, chosen, ids, pointed } = props;
  const t = useWordsOf(WORDS);
  const { language } = useSettings();
  const [shown, setShown] = useState(STEP);
  // biome-ignore lint/correctness/useExhaustiveDependencies: others begin at their first
  useEffect(() => setShown(STEP), [chosen]);
  const few = useMemo(() => examplesOf(chosen), [chosen]);
  const asked = useIds(ids, [...chosen.subarray(0, shown), ...few]);
  const by = [
    state.lasso.length > 0 && t.byLasso,
    state.filter && t.byFilter,
    state.legend.keys.length > 0 && t.byLegend,
    state.since && t.bySince,
  ].filter((each) => typeof each === "string" && each !== "");
  const hidden = chosen.length - shown;
  return (
    <section className="map-chosen" aria-label={t.chosenBy}>
      <header>
        <h2>
          {t.chosen(count(chosen.length, language), chosen.length)}{" "}
          <span className="aside">{t.outOf(count(props.of, language))}</span>
        </h2>
        <button type="button" className="button quiet small" title="x" onClick={props.onClear}>
          <Icon name="close" size={14} /> {t.clear}
        </button>
      </header>
      <p className="facet-rest">
        {t.chosenBy} {by.join(", ")}
      </p>
      {chosen.length === 0 ? (
        <Notice kind="info" title={t.chosenNone}>
          {t.chosenNoneDo}
        </Notice>
      ) : (
        <>
          <div className="map-acts">
            <a
              className="button small"
              href={searchAddress(few.map((at) => ids?.at(at)))}
              title={t.searchFromTitle}
              aria-disabled={few.some((at) => ids?.at(at) === undefined)}
            >
              <Icon name="search" size={14} /> {t.searchFrom}
            </a>
            <Keep chosen={chosen} of={ids?.of} onChanged={props.onChanged} />
          </div>
          {asked.error && !isOther(asked.error) && (
            <ProblemNotice problem={asked.error} retry={asked.retry} />
          )}
          <ol className="map-grid">
            {Array.from(chosen.subarray(0, shown), (at, place) => (
              <li key={at}>
                <button
                  type="button"
                  className={at === pointed ? "pointed" : ""}
                  aria-label={t.picture(place + 1, chosen.length)}
                  onPointerEnter={() => props.onPoint(at)}
                  onPointerLeave={() => props.onPoint(NONE)}
                  onFocus={() => props.onPoint(at)}
                  onBlur={() => props.onPoint(NONE)}
                  onClick={() => props.onOpen(at)}
                >
                  <Picture id={ids?.at(at)} />
                </button>
              </li>
            ))}
          </ol>
          {hidden > 0 && (
            <button type="button" className="button" onClick={() => setShown(shown + STEP)}>
              {t.more(count(Math.min(STEP, hidden), language))}
            </button>
          )}
        </>
      )}
    </section>
  );
}

function Picture({ id }: { id: string | undefined }) {
  return id ? <Thumb id={id} /> : <span className="thumb bone" />;
}

/** A few of them, evenly picked. */
export function examplesOf(chosen: Uint32Array): number[] {
  const few = Math.min(EXAMPLES, chosen.length);
  const at = (n: number) => chosen[Math.floor(((n + 0.5) * chosen.length) / few)] ?? NONE;
  return Array.from({ length: few }, (_, n) => at(n));
}

/** A search with some items, as far as their ids are known. */
export function searchAddress(ids: readonly (string | undefined)[]): string {
  const params = new URLSearchParams();
  for (const id of ids) if (id) params.append("item", id);
  return `#/search?${params}`;
}
