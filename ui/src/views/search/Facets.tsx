import { type FormEvent, memo, useEffect, useRef, useState } from "react";
import type { Facet, Schemas } from "../../api/client";
import type { Asked } from "../../lib/ask";
import { count } from "../../lib/format";
import { fieldName, valueName } from "../../lib/names";
import { useSettings, useWords } from "../../lib/settings";
import { Icon } from "../../parts/Icon";
import { ProblemNotice } from "../../parts/Notice";
import { type Choice, toggled, WORD } from "./state";
import { WordField } from "./WordField";

const FEW = 6;

/** The same for the whole life of the view. */
export interface FacetActs {
  change: (change: { choices?: Choice[]; filter?: string }) => void;
  close: () => void;
}

interface FacetsProps {
  asked: Asked<Schemas["FacetAnswer"]>;
  choices: Choice[];
  filter: string;
  acts: FacetActs;
}

/** What can be chosen, with how many studies have it; of one field any choice will do. */
export function Facets({ asked, choices, filter, acts }: FacetsProps) {
  const t = useWords();
  const facets = asked.data?.facets ?? [];
  const place = useRef<HTMLElement>(null);
  const there = facets.length > 0;
  useEffect(() => {
    // Who came here before there was anything to choose goes on to the first.
    if (there && document.activeElement === place.current)
      place.current?.querySelector<HTMLElement>("input[type=checkbox]")?.focus();
  }, [there]);
  return (
    <aside
      className="facets"
      id="facets"
      ref={place}
      tabIndex={-1}
      aria-label={t.filters}
      aria-busy={asked.loading}
    >
      <header>
        <h2>{t.filters}</h2>
        {(choices.length > 0 || filter) && (
          <button
            type="button"
            className="button quiet small"
            onClick={() => acts.change({ choices: [], filter: "" })}
          >
            {t.clearFilters}
          </button>
        )}
        <button
          type="button"
          className="button quiet facets-close"
          aria-label={t.close}
          onClick={() => acts.close()}
        >
          <Icon name="close" />
        </button>
      </header>
      {asked.error && asked.error.code !== "filter" && (
        <ProblemNotice problem={asked.error} retry={asked.retry} />
      )}
      {!asked.data && asked.loading && <FacetSkeleton />}
      {facets.map((facet) => (
        <FacetGroup key={facet.field} facet={facet} choices={choices} acts={acts} />
      ))}
      {(asked.data || asked.error) && (
        <ByHand
          key={filter}
          filter={filter}
          error={asked.error?.code === "filter" ? asked.error.message : ""}
          acts={acts}
        />
      )}
    </aside>
  );
}

interface GroupProps {
  facet: Facet;
  choices: Choice[];
  acts: FacetActs;
}

const sameGroup = (was: GroupProps, is: GroupProps): boolean =>
  was.facet === is.facet && JSON.stringify(was.choices) === JSON.stringify(is.choices);

/** The values of one field; drawn again when they or the choices change, not at each search. */
const FacetGroup = memo(function FacetGroup({ facet, choices, acts }: GroupProps) {
  const t = useWords();
  const { language } = useSettings();
  const [all, setAll] = useState(false);
  const chosen = new Set(choices.filter((c) => c.field === facet.field).map((c) => c.value));
  const values = facet.values.filter((each, at) => all || at < FEW || chosen.has(each.value));
  const missing = [...chosen].filter((value) => !facet.values.some((each) => each.value === value));
  const most = Math.max(1, ...facet.values.map((each) => each.studies));
  const hidden = facet.values.length - values.length;
  const words = facet.field === WORD;
  const choose = (value: string) =>
    acts.change({ choices: toggled(choices, { field: facet.field, value }) });
  const row = (value: string, studies: number) => (
    <label key={value} className="facet-value">
      <input type="checkbox" checked={chosen.has(value)} onChange={() => choose(value)} />
      <span className="facet-name" title={valueName(facet.field, value, t)}>
        {valueName(facet.field, value, t)}
      </span>
      <span className="facet-count">{count(studies, language)}</span>
      <span className="facet-bar" style={{ width: `${(100 * studies) / most}%` }} />
    </label>
  );
  return (
    <fieldset>
      <legend>{fieldName(facet.field, t)}</legend>
      {missing.map((value) => row(value, 0))}
      {values.map((each) => row(each.value, each.studies))}
      {(hidden > 0 || all) && facet.values.length > FEW && (
        <button type="button" className="link" aria-expanded={all} onClick={() => setAll(!all)}>
          {all ? t.fewerValues : t.moreValues(hidden)}
        </button>
      )}
      {all && facet.more > 0 && <p className="facet-rest">{t.rarer(facet.more)}</p>}
      {facet.unknown > 0 && (
        <p className="facet-rest">
          {(words ? t.withoutReport : t.unknown)(count(facet.unknown, language))}
        </p>
      )}
      {words && (
        <WordField
          offered={facet.values.map((each) => each.value)}
          onChoose={(value) => !chosen.has(value) && choose(value)}
        />
      )}
    </fieldset>
  );
}, sameGroup);

interface ByHandProps {
  filter: string;
  error: string;
  acts: FacetActs;
}

function ByHand({ filter, error, acts }: ByHandProps) {
  const t = useWords();
  const [typed, setTyped] = useState(filter);
  useEffect(() => setTyped(filter), [filter]);
  function submit(event: FormEvent): void {
    event.preventDefault();
    acts.change({ filter: typed.trim() });
  }
  return (
    <form className="by-hand" onSubmit={submit}>
      <label htmlFor="by-hand">{t.filterText}</label>
      <input
        id="by-hand"
        value={typed}
        spellCheck={false}
        autoComplete="off"
        aria-invalid={error ? true : undefined}
        aria-describedby="by-hand-hint"
        onChange={(event) => setTyped(event.target.value)}
      />
      <p id="by-hand-hint" className={error ? "field-error" : "facet-rest"}>
        {error || t.filterHint}
      </p>
      {typed.trim() !== filter && (
        <button type="submit" className="button small">
          {t.apply}
        </button>
      )}
    </form>
  );
}

function FacetSkeleton() {
  return (
    <div className="facet-skeleton" aria-hidden="true">
      {[5, 4, 2, 6].map((rows) => (
        <div key={rows}>
          {Array.from({ length: rows }, (_, at) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: they are all alike
            <span key={at} className="bone" />
          ))}
        </div>
      ))}
    </div>
  );
}
