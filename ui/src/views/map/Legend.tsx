import { count } from "../../lib/format";
import { useSettings, useWords, useWordsOf } from "../../lib/settings";
import { ALL, type Row } from "./colours";
import { alone, isShown, type MapState, toggled } from "./state";
import { WORDS } from "./words";

interface LegendProps {
  title: string;
  rows: readonly Row[];
  state: MapState;
  hint: string;
  onChange: (legend: MapState["legend"]) => void;
  /** Points of a row stand out while it is pointed at; -1 for none. */
  onPoint: (row: number) => void;
}

/** What the colours mean; each can be hidden, or shown alone. */
export function Legend({ title, rows, state, hint, onChange, onPoint }: LegendProps) {
  const t = useWordsOf(WORDS);
  const words = useWords();
  const { language } = useSettings();
  const { legend } = state;
  return (
    <section className="map-legend" aria-label={t.legend}>
      <header>
        <h2>{title}</h2>
        {legend.keys.length > 0 && (
          <button
            type="button"
            className="link"
            onClick={() => onChange({ only: false, keys: [] })}
          >
            {t.showAll}
          </button>
        )}
      </header>
      {hint && <p className="facet-rest">{hint}</p>}
      <ul onPointerLeave={() => onPoint(-1)}>
        {rows.map((row, at) => {
          const shown = isShown(legend, row.key);
          return (
            <li key={row.key} onPointerEnter={() => onPoint(at)}>
              <button
                type="button"
                className="legend-row"
                aria-pressed={shown}
                disabled={row.key === ALL}
                title={row.name}
                onClick={() => onChange(toggled(legend, row.key))}
                onFocus={() => onPoint(at)}
                onBlur={() => onPoint(-1)}
              >
                <span className="swatch" style={{ background: row.colour }} aria-hidden="true" />
                <span className="facet-name">{row.name}</span>
                <span className="facet-count">{count(row.points, language)}</span>
              </button>
              {rows.length > 1 && (
                <button
                  type="button"
                  className="link legend-only"
                  aria-label={t.onlyTitle(row.name)}
                  onClick={() => onChange(alone(legend, row.key))}
                >
                  {t.only}
                </button>
              )}
            </li>
          );
        })}
      </ul>
      {!rows.length && <LegendSkeleton />}
      <footer className="map-note">{words.research}</footer>
    </section>
  );
}

function LegendSkeleton() {
  return (
    <div className="legend-bones" aria-hidden="true">
      {[1, 2, 3, 4, 5, 6].map((row) => (
        <span key={row} className="bone" />
      ))}
    </div>
  );
}
