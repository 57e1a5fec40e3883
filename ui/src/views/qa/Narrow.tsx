import { type FormEvent, useState } from "react";
import * as api from "../../api/client";
import { useAsked } from "../../lib/ask";
import { fieldName, valueName } from "../../lib/names";
import { useWords, useWordsOf } from "../../lib/settings";
import type { Update } from "./QaView";
import type { QaState } from "./state";
import { WORDS } from "./words";

const FIELDS = ["label:site", "manufacturer", "modality", "body_part"];

/** Narrowing by site, scanner, modality and body part; anything else in the filter language. */
export function Narrow({ state, update }: { state: QaState; update: Update }) {
  const t = useWords();
  const w = useWordsOf(WORDS);
  const facets = useAsked("qa facets", (signal) => api.facets("", signal));
  const chosen = (field: string) => state.choices.find((each) => each.field === field)?.value ?? "";
  function choose(field: string, value: string): void {
    const others = state.choices.filter((each) => each.field !== field);
    update({ choices: value ? [...others, { field, value }] : others, study: "", item: "" });
  }
  const known = FIELDS.flatMap((field) => {
    const facet = facets.data?.facets.find((each) => each.field === field);
    const values = facet?.values.map((each) => each.value) ?? [];
    const own = chosen(field);
    if (own && !values.includes(own)) values.unshift(own);
    return values.length > 1 || own ? [{ field, values }] : [];
  });
  return (
    <div className="narrow-by">
      {known.map(({ field, values }) => {
        const name = field === "label:site" ? w.site : fieldName(field, t);
        return (
          <select
            key={field}
            aria-label={name}
            value={chosen(field)}
            onChange={(event) => choose(field, event.target.value)}
          >
            <option value="">{w.every(name)}</option>
            {values.map((value) => (
              <option key={value} value={value}>
                {valueName(field, value, t)}
              </option>
            ))}
          </select>
        );
      })}
      <select
        aria-label={w.order}
        value={state.order}
        onChange={(event) => update({ order: event.target.value === "odd" ? "odd" : "new" })}
      >
        <option value="new">{w.newest}</option>
        <option value="odd">{w.oddest}</option>
      </select>
      <FilterField key={state.filter} filter={state.filter} update={update} />
    </div>
  );
}

function FilterField({ filter, update }: { filter: string; update: Update }) {
  const t = useWords();
  const [text, setText] = useState(filter);
  function submit(event: FormEvent): void {
    event.preventDefault();
    update({ filter: text.trim(), study: "", item: "" });
  }
  return (
    <form onSubmit={submit}>
      <input
        type="text"
        value={text}
        aria-label={t.filterText}
        placeholder={t.filterText}
        title={t.filterHint}
        onChange={(event) => setText(event.target.value)}
        onBlur={submit}
      />
    </form>
  );
}
