import { useEffect, useState } from "react";
import { count } from "../../lib/format";
import { useSettings, useWordsOf } from "../../lib/settings";
import { Icon } from "../../parts/Icon";
import { Notice } from "../../parts/Notice";
import { Thumb } from "../../parts/Thumb";
import { NONE } from "./geometry";
import { Keep } from "./Keep";
import type { MapState } from "./state";
import { WORDS } from "./words";

interface ChosenProps {
  state: MapState;
  /** Places of the chosen points in the order of the map. */
  chosen: Uint32Array;
  of: number;
  ids: readonly string[] | undefined;
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
              href={searchAddress(chosen, ids)}
              title={t.searchFromTitle}
              aria-disabled={!ids}
            >
              <Icon name="search" size={14} /> {t.searchFrom}
            </a>
            <Keep chosen={chosen} ids={ids} onChanged={props.onChanged} />
          </div>
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
                  {ids ? <Thumb id={ids[at] ?? ""} /> : <span className="thumb bone" />}
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

/** A search with a few of them, evenly picked. */
export function searchAddress(chosen: Uint32Array, ids: readonly string[] | undefined): string {
  const params = new URLSearchParams();
  const few = Math.min(EXAMPLES, chosen.length);
  for (let n = 0; n < few; n += 1) {
    const at = chosen[Math.floor(((n + 0.5) * chosen.length) / few)];
    const id = at === undefined ? undefined : ids?.[at];
    if (id) params.append("item", id);
  }
  return `#/search?${params}`;
}
