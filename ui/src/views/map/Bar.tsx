import { type FormEvent, type RefObject, useEffect, useState } from "react";
import type { Problem } from "../../api/client";
import type { MapTold } from "../../api/map";
import { fieldName } from "../../lib/names";
import { useSettings, useWords, useWordsOf } from "../../lib/settings";
import { Icon } from "../../parts/Icon";
import type { Ground } from "./asking";
import type { MapState } from "./state";
import { WORDS } from "./words";

interface BarProps {
  state: MapState;
  ground: Ground | undefined;
  map: MapTold | undefined;
  colour: string;
  /** The end of the visit before, or nothing. */
  lastVisit: string;
  drawing: boolean;
  filterError: Problem | undefined;
  field: RefObject<HTMLInputElement | null>;
  colourField: RefObject<HTMLSelectElement | null>;
  onChange: (change: Partial<MapState>) => void;
  onDrawing: () => void;
  onView: () => void;
}

const DAY_MS = 86_400_000;

/** Which map, in which colours, and what of it is chosen. */
export function Bar(props: BarProps) {
  const { state, ground, map, colour, onChange } = props;
  const t = useWordsOf(WORDS);
  const words = useWords();
  const { language } = useSettings();
  const day = (iso: string) => new Date(iso).toLocaleDateString(language);
  const fields = ground?.choices.fields ?? [];
  return (
    <section className="map-bar" aria-label={words.filters}>
      {(ground?.spaces.length ?? 0) > 1 && (
        <label className="pick">
          {t.space}
          <select
            value={map?.encoder ?? state.encoder}
            onChange={(event) => onChange({ ...WHOLE, encoder: event.target.value, version: null })}
          >
            {ground?.spaces.map((each) => (
              <option key={each}>{each}</option>
            ))}
          </select>
        </label>
      )}
      {(ground?.maps.length ?? 0) > 1 && (
        <label className="pick">
          {t.versionOf}
          <select
            value={map?.version ?? ""}
            onChange={(event) => onChange({ ...WHOLE, version: Number(event.target.value) })}
          >
            {ground?.maps.map(({ version, created_at }) => (
              <option key={version} value={version}>
                {t.versionNamed(version, day(created_at))}
              </option>
            ))}
          </select>
        </label>
      )}
      <label className="pick">
        {t.colour}
        <select
          ref={props.colourField}
          value={colour}
          onChange={(event) =>
            onChange({ colour: event.target.value, legend: { only: false, keys: [] } })
          }
        >
          <option value="none">{t.colourNone}</option>
          {group(t.byCluster, "cluster", ground?.choices.runs ?? [], (name) => name)}
          {group(t.byField, "field", fields, (name) => fieldName(name, words))}
          {group(t.byScore, "score", ground?.choices.references ?? [], (name) => name)}
        </select>
      </label>
      <FilterField {...props} />
      <label className="pick">
        {t.since}
        <select value={state.since} onChange={(event) => onChange({ since: event.target.value })}>
          <option value="">{t.sinceNever}</option>
          {sinceOptions(state.since, props.lastVisit).map(([value, kind]) => (
            <option key={value} value={value}>
              {kind === "visit"
                ? t.sinceVisit(new Date(value).toLocaleString(language, SHORT))
                : kind === "told"
                  ? t.sinceThen(new Date(value).toLocaleString(language, SHORT))
                  : t.sinceDays(kind)}
            </option>
          ))}
        </select>
      </label>
      <span className="map-tools">
        <button
          type="button"
          className="button"
          aria-pressed={props.drawing}
          title={t.lassoTitle}
          onClick={props.onDrawing}
        >
          <Icon name="lasso" size={16} /> {t.lasso}
        </button>
        <button type="button" className="button" title={t.inViewTitle} onClick={props.onView}>
          <Icon name="fit" size={16} /> {t.inView}
        </button>
      </span>
    </section>
  );
}

/** What belongs to one map alone. */
const WHOLE: Partial<MapState> = { lasso: [], camera: null, item: "" };
const SHORT: Intl.DateTimeFormatOptions = { dateStyle: "short", timeStyle: "short" };

function group(
  label: string,
  kind: string,
  names: readonly string[],
  called: (name: string) => string,
) {
  if (!names.length) return null;
  return (
    <optgroup label={label}>
      {names.map((name) => (
        <option key={name} value={`${kind}:${name}`}>
          {called(name)}
        </option>
      ))}
    </optgroup>
  );
}

/** Midnights, so that the same choice is the same address all day. */
export function sinceOptions(
  told: string,
  lastVisit: string,
): [value: string, kind: "visit" | "told" | number][] {
  const midnight = new Date();
  midnight.setHours(0, 0, 0, 0);
  const days = [1, 7, 30].map((n): [string, number] => [
    new Date(midnight.getTime() - n * DAY_MS).toISOString(),
    n,
  ]);
  const options: [string, "visit" | "told" | number][] = lastVisit
    ? [[lastVisit, "visit"], ...days]
    : days;
  const known = !told || options.some(([value]) => value === told);
  return known ? options : [...options, [told, "told"]];
}

function FilterField({ state, filterError, field, onChange }: BarProps) {
  const t = useWordsOf(WORDS);
  const words = useWords();
  const [typed, setTyped] = useState(state.filter);
  useEffect(() => setTyped(state.filter), [state.filter]);
  function submit(event: FormEvent): void {
    event.preventDefault();
    onChange({ filter: typed.trim() });
  }
  return (
    <form className="map-filter" onSubmit={submit} role="search">
      <Icon name="filter" size={16} />
      <input
        ref={field}
        value={typed}
        aria-label={t.filter}
        placeholder={t.filterHint}
        spellCheck={false}
        autoComplete="off"
        aria-invalid={filterError ? true : undefined}
        aria-describedby={filterError ? "map-filter-error" : undefined}
        onChange={(event) => setTyped(event.target.value)}
      />
      {typed.trim() !== state.filter ? (
        <button type="submit" className="button small">
          {words.apply}
        </button>
      ) : (
        state.filter && (
          <button
            type="button"
            className="button quiet small"
            aria-label={t.filterClear}
            title={t.filterClear}
            onClick={() => onChange({ filter: "" })}
          >
            <Icon name="close" size={14} />
          </button>
        )
      )}
      {filterError && (
        <p id="map-filter-error" className="field-error" role="alert">
          {filterError.message}
        </p>
      )}
    </form>
  );
}
