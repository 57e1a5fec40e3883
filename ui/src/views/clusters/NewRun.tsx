import { type FormEvent, useEffect, useState } from "react";
import * as client from "../../api/client";
import { GONE, Problem } from "../../api/client";
import * as api from "../../api/clusters";
import { useAsked } from "../../lib/ask";
import { count } from "../../lib/format";
import { useSettings, useWords, useWordsOf } from "../../lib/settings";
import { useWhileShown } from "../../lib/shown";
import { Notice, ProblemNotice } from "../../parts/Notice";
import { Segments } from "../../parts/Segments";
import { useRuns } from "./asking";
import { Methods, Options } from "./MethodFields";
import { fieldsOf, freeName, typedValue } from "./options";
import { Place } from "./Place";
import type { Wanted } from "./state";
import { WORDS } from "./words";

const SETTLE_MS = 400;

/** What was typed once nobody has typed for a moment. */
function useSettled(text: string): string {
  const [settled, settle] = useState(text);
  useEffect(() => {
    const timer = setTimeout(() => settle(text), SETTLE_MS);
    return () => clearTimeout(timer);
  }, [text]);
  return settled;
}

interface NewRunProps {
  wanted: Wanted;
  onChange: (wanted: Wanted) => void;
  onStarted: (job: api.Job) => void;
}

/** What to cluster, and how. */
export function NewRun({ wanted, onChange, ...props }: NewRunProps) {
  const t = useWords();
  const w = useWordsOf(WORDS);
  const onStarted = useWhileShown(props.onStarted);
  const runs = useRuns();
  const methods = useAsked("methods", api.methods);
  const spaces = useAsked("spaces", api.spaces);
  const [problem, setProblem] = useState<Problem>();
  const [busy, setBusy] = useState(false);
  const method = methods.data?.find((each) => each.name === wanted.method) ?? methods.data?.[0];
  const taken = (runs.data ?? []).map((run) => run.name);
  const name = wanted.name || freeName(method?.name ?? "", taken);
  const encoders = [...new Set((spaces.data ?? []).map((space) => space.encoder))];
  const set = (change: Partial<Wanted>) => onChange({ ...wanted, ...change });
  const passing = usePassing(wanted.filter);

  async function submit(event?: FormEvent): Promise<void> {
    event?.preventDefault();
    if (!method) return;
    setBusy(true);
    setProblem(undefined);
    const fields = fieldsOf(method);
    const options = wanted.options.flatMap(([key, value]) => {
      const field = fields.find((each) => each.name === key);
      return field && value !== "" ? [[key, typedValue(field, value)] as const] : [];
    });
    try {
      const job = await api.askFor("cluster", {
        name: name.trim(),
        method: method.name,
        n_clusters: wanted.count ? Number(wanted.count) : null,
        encoder: wanted.encoder,
        filter: wanted.filter,
        seed: Number(wanted.seed || 0),
        options: Object.fromEntries(options),
      });
      onStarted(job);
    } catch (error) {
      setProblem(error instanceof Problem ? error : new Problem(0, GONE, ""));
    } finally {
      setBusy(false);
    }
  }
  const asked = methods.error ?? spaces.error;
  const isTaken = taken.includes(name.trim());
  return (
    <>
      <Place />
      <h1>{w.newTitle}</h1>
      <p className="lead">{w.newText}</p>
      {asked && <ProblemNotice problem={asked} retry={methods.retry} />}
      <form className="new-run" onSubmit={(event) => void submit(event)}>
        <Methods
          methods={methods.data}
          chosen={method?.name ?? ""}
          onChoose={(chosen) => set({ method: chosen, options: [] })}
        />
        <HowMany wanted={wanted} set={set} />
        <label>
          <span>{w.filterLabel}</span>
          <input
            type="text"
            className="mono"
            value={wanted.filter}
            placeholder={w.filterHint}
            aria-describedby="passing"
            onChange={(event) => set({ filter: event.target.value })}
          />
          <Passing asked={passing} />
        </label>
        {encoders.length > 1 && (
          <label>
            <span>{w.encoder}</span>
            <select
              value={wanted.encoder}
              onChange={(event) => set({ encoder: event.target.value })}
            >
              <option value="">{w.usual}</option>
              {encoders.map((each) => (
                <option key={each}>{each}</option>
              ))}
            </select>
          </label>
        )}
        <label>
          <span>{w.name}</span>
          <input
            type="text"
            maxLength={128}
            value={wanted.name}
            placeholder={name}
            onChange={(event) => set({ name: event.target.value })}
          />
        </label>
        {isTaken && <Notice kind="warn" title={w.nameTaken} />}
        {method && <Options method={method} wanted={wanted} onChange={set} />}
        {problem && <ProblemNotice problem={problem} retry={() => void submit()} />}
        <div className="form-acts">
          <button
            type="submit"
            className="button accent"
            disabled={busy || !method || isTaken || passing.data?.items === 0}
          >
            {w.start}
          </button>
        </div>
      </form>
      <footer>{t.research}</footer>
    </>
  );
}

interface HowManyProps {
  wanted: Wanted;
  set: (change: Partial<Wanted>) => void;
}

function HowMany({ wanted, set }: HowManyProps) {
  const w = useWordsOf(WORDS);
  return (
    <div className="how-many">
      <span>{w.howMany}</span>
      <Segments
        label={w.howMany}
        value={wanted.count ? "exactly" : "auto"}
        options={[
          ["auto", w.auto],
          ["exactly", w.exactly],
        ]}
        onChange={(value) => set({ count: value === "auto" ? "" : wanted.count || "8" })}
      />
      {wanted.count && (
        <input
          type="number"
          min={1}
          max={100_000}
          required
          aria-label={w.howMany}
          value={wanted.count}
          onChange={(event) => set({ count: event.target.value || "1" })}
        />
      )}
    </div>
  );
}

const usePassing = (filter: string) => {
  const settled = useSettled(filter.trim());
  const said = settled ? `role=primary and (${settled})` : "role=primary";
  return useAsked(`passing ${said}`, (signal) => client.facets(said, signal));
};

function Passing({ asked }: { asked: ReturnType<typeof usePassing> }) {
  const w = useWordsOf(WORDS);
  const { language } = useSettings();
  if (asked.error?.status === 422)
    return (
      <span id="passing" className="field-error" role="alert">
        {asked.error.message}
      </span>
    );
  const items = asked.data?.items;
  return (
    <span id="passing" className="hint-line" role="status">
      {items === 0 ? w.wouldPassNone : items !== undefined && w.wouldPass(count(items, language))}
    </span>
  );
}
