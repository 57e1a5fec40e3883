import { type FormEvent, type ReactNode, useState } from "react";
import * as client from "../../api/client";
import { Problem } from "../../api/client";
import type { Reference } from "../../api/qa";
import * as api from "../../api/qa";
import { useAsked } from "../../lib/ask";
import { useWords, useWordsOf } from "../../lib/settings";
import { Dialog } from "../../parts/Dialog";
import { ProblemNotice } from "../../parts/Notice";
import { jobFinished } from "./asking";
import { WORDS } from "./words";

interface JobFormProps {
  title: string;
  text?: string;
  kind: string;
  submit: string;
  parameters: () => Record<string, unknown>;
  onClose: () => void;
  children: ReactNode;
}

/** Asks for a job; what was typed stays where the service refuses it. */
function JobForm({ title, text, kind, submit, parameters, onClose, children }: JobFormProps) {
  const w = useWordsOf(WORDS);
  const [busy, setBusy] = useState(false);
  const [trouble, setTrouble] = useState<Problem | undefined>();
  async function ask(event: FormEvent): Promise<void> {
    event.preventDefault();
    setBusy(true);
    setTrouble(undefined);
    try {
      await api.askFor(kind, parameters());
      jobFinished(); // the list of jobs has one more
      onClose();
    } catch (error) {
      setTrouble(error instanceof Problem ? error : new Problem(0, "page", String(error)));
      setBusy(false);
    }
  }
  return (
    <Dialog title={title} onClose={onClose}>
      <form className="qa-form" onSubmit={ask}>
        {text && <p>{text}</p>}
        {children}
        {trouble && <ProblemNotice problem={trouble} />}
        <div className="form-acts">
          <button type="button" className="button" onClick={onClose}>
            {w.cancel}
          </button>
          <button type="submit" className="button accent" disabled={busy}>
            {submit}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

interface FieldProps {
  label: string;
  value: string;
  onChange: (value: string) => void;
  hint?: string;
  type?: "text" | "number";
  required?: boolean;
  range?: { min: number; max: number; step: number | "any" };
}

function Field({ label, value, onChange, hint, type = "text", required, range }: FieldProps) {
  return (
    <label>
      {label}
      <input
        type={type}
        value={value}
        placeholder={hint}
        required={required}
        maxLength={type === "text" ? 8000 : undefined}
        {...range}
        onChange={(event) => onChange(event.target.value)}
      />
    </label>
  );
}

/** A new reference set. */
export function FitForm({ onClose }: { onClose: () => void }) {
  const w = useWordsOf(WORDS);
  const [name, setName] = useState("");
  const [filter, setFilter] = useState("");
  const [alarm, setAlarm] = useState("0.05");
  const [corruptions, setCorruptions] = useState("0");
  const [encoder, setEncoder] = useState("");
  const known = useAsked("library", (signal) => client.library(signal));
  const encoders = [...new Set(known.data?.index.map((each) => String(each.encoder)))];
  return (
    <JobForm
      title={w.newReference}
      text={w.noReferencesDo}
      kind="ood-fit"
      submit={w.fit}
      parameters={() => ({
        name: name.trim(),
        filter: filter.trim(),
        alarm: Number(alarm),
        corruptions: Number(corruptions),
        encoder,
      })}
      onClose={onClose}
    >
      <Field label={w.name} value={name} onChange={setName} hint={w.nameHint} required />
      <Field label={w.filter} value={filter} onChange={setFilter} hint={w.filterHint} />
      <Field
        label={w.rate}
        value={alarm}
        onChange={setAlarm}
        type="number"
        range={{ min: 0.0001, max: 0.5, step: "any" }}
        required
      />
      <Field
        label={w.corrupted}
        value={corruptions}
        onChange={setCorruptions}
        type="number"
        range={{ min: 0, max: 1000, step: 1 }}
      />
      {encoders.length > 1 && (
        <label>
          {w.encoder}
          <select value={encoder} onChange={(event) => setEncoder(event.target.value)}>
            <option value="">{w.anyEncoder}</option>
            {encoders.map((each) => (
              <option key={each}>{each}</option>
            ))}
          </select>
        </label>
      )}
    </JobForm>
  );
}

/** Judges what is in the library already. */
export function JudgeForm({ reference, onClose }: { reference: Reference; onClose: () => void }) {
  const w = useWordsOf(WORDS);
  const [filter, setFilter] = useState("role=primary");
  return (
    <JobForm
      title={`${w.judge}: ${reference.name}`}
      text={w.judgeText}
      kind="ood-score"
      submit={w.judgeAsk}
      parameters={() => ({ reference: reference.name, filter: filter.trim(), store: true })}
      onClose={onClose}
    >
      <Field label={w.filter} value={filter} onChange={setFilter} hint={w.filterHint} />
    </JobForm>
  );
}

interface DriftFormProps {
  reference: Reference;
  filter: string;
  onClose: () => void;
}

const DAYS = [1, 7, 14, 28, 91, 182];
const STUDIES = [20, 50, 100, 200];

export function DriftForm({ reference, filter: first, onClose }: DriftFormProps) {
  const t = useWords();
  const w = useWordsOf(WORDS);
  const [by, setBy] = useState("manufacturer");
  const [size, setSize] = useState("days 28");
  const [filter, setFilter] = useState(first || "role=primary");
  const facets = useAsked("qa facets", (signal) => client.facets("", signal));
  const site = facets.data?.facets.some((each) => each.field === "label:site");
  const fields = Object.entries(w.byFields).filter(([field]) => field !== "label:site" || site);
  function parameters(): Record<string, unknown> {
    const [unit = "days", number = "7"] = size.split(" ");
    return { reference: reference.name, by, filter: filter.trim(), [unit]: Number(number) };
  }
  return (
    <JobForm
      title={`${w.newDrift}: ${reference.name}`}
      text={w.noDriftDo}
      kind="drift"
      submit={w.ask}
      parameters={parameters}
      onClose={onClose}
    >
      <label>
        {w.by}
        <select value={by} onChange={(event) => setBy(event.target.value)}>
          <option value="">{w.byNothing}</option>
          {fields.map(([field, name]) => (
            <option key={field} value={field}>
              {name}
            </option>
          ))}
        </select>
      </label>
      <label>
        {w.windows}
        <select value={size} onChange={(event) => setSize(event.target.value)}>
          {DAYS.map((days) => (
            <option key={days} value={`days ${days}`}>
              {w.days(days)}
            </option>
          ))}
          {STUDIES.map((studies) => (
            <option key={studies} value={`studies ${studies}`}>
              {w.studiesOf(studies)}
            </option>
          ))}
        </select>
      </label>
      <Field label={w.filter} value={filter} onChange={setFilter} hint={t.filterHint} />
    </JobForm>
  );
}
