import { type FormEvent, type ReactNode, useState } from "react";
import { GONE, Problem } from "../../api/client";
import * as api from "../../api/curate";
import { useAsked } from "../../lib/ask";
import { useWordsOf } from "../../lib/settings";
import { Dialog } from "../../parts/Dialog";
import { Notice, ProblemNotice } from "../../parts/Notice";
import { type Choices, defaults, jobKind, parametersOf, type Task } from "./tasks";
import { WORDS } from "./words";

const STRATEGIES = ["typiclust", "probcover", "dropquery", "random"];

interface FindFormProps {
  task: Task;
  onClose: () => void;
  onAsked: (job: api.Job) => void;
}

/** The few things that a search depends on, with what is sane already there. */
export function FindForm({ task, onClose, onAsked }: FindFormProps) {
  const t = useWordsOf(WORDS);
  const byLabel = task === "labels" || task === "selection";
  const names = useAsked(byLabel ? "label names" : null, api.labelNames);
  const labels = names.data?.filter(({ name }) => name !== "tag").map(({ name }) => name);
  const [said, setSaid] = useState<Choices>({});
  const [filter, setFilter] = useState("");
  const [problem, setProblem] = useState<Problem | undefined>();
  const [busy, setBusy] = useState(false);
  const choices = { ...defaults(task, labels?.[0] ?? ""), ...said };
  const set = (name: string, value: string | boolean) => setSaid({ ...said, [name]: value });
  const without = byLabel && labels?.length === 0;

  async function submit(event: FormEvent): Promise<void> {
    event.preventDefault();
    setBusy(true);
    setProblem(undefined);
    try {
      onAsked(await api.askFor(jobKind(task), parametersOf(task, choices, filter)));
    } catch (error) {
      setProblem(error instanceof Problem ? error : new Problem(0, GONE, ""));
      setBusy(false);
    }
  }

  return (
    <Dialog title={t.tasks[task]} onClose={onClose}>
      <form className="find-form" onSubmit={(event) => void submit(event)}>
        <p>{t.finds[task]}</p>
        <Fields task={task} choices={choices} labels={labels} set={set} />
        <Field name={t.form.filter} hint={t.form.filterHint}>
          <input type="text" value={filter} onChange={(event) => setFilter(event.target.value)} />
        </Field>
        {names.error && <ProblemNotice problem={names.error} retry={names.retry} />}
        {without && <Notice kind="info" title={t.noLabels} />}
        {problem && <ProblemNotice problem={problem} />}
        <button type="submit" className="button accent" disabled={busy || without}>
          {t.start}
        </button>
      </form>
    </Dialog>
  );
}

interface FieldsProps {
  task: Task;
  choices: Choices;
  labels: string[] | undefined;
  set: (name: string, value: string | boolean) => void;
}

function Fields({ task, choices, labels, set }: FieldsProps) {
  const t = useWordsOf(WORDS);
  const runs = useAsked(task === "outliers" ? "clusterings" : null, api.clusterings);
  const typed = (name: string, more: Record<string, string | number | boolean>) => (
    <input
      value={String(choices[name])}
      onChange={(event) => set(name, event.target.value)}
      {...more}
    />
  );
  const chosen = (name: string, options: readonly (readonly [string, string])[]) => (
    <select value={String(choices[name])} onChange={(event) => set(name, event.target.value)}>
      {options.map(([value, shown]) => (
        <option key={value} value={value}>
          {shown}
        </option>
      ))}
    </select>
  );
  const label = (
    <Field name={t.form.label}>
      {chosen(
        "label",
        (labels ?? []).map((each) => [each, each]),
      )}
    </Field>
  );
  if (task === "duplicates")
    return (
      <>
        <Field name={t.form.threshold} hint={t.form.thresholdHint}>
          {typed("threshold", { type: "number", min: 0, max: 1, step: 0.001 })}
        </Field>
        <label className="tick">
          <input
            type="checkbox"
            checked={choices.pixels === true}
            onChange={(event) => set("pixels", event.target.checked)}
          />
          {t.form.pixels}
        </label>
      </>
    );
  if (task === "leakage")
    return <Field name={t.form.split}>{typed("split", { type: "text", required: true })}</Field>;
  if (task === "outliers")
    return (
      <>
        <Field name={t.form.count}>
          {typed("count", { type: "number", min: 1, max: 10000, required: true })}
        </Field>
        <Field name={t.form.run}>
          {chosen("run", [["", t.form.noRun], ...(runs.data ?? []).map(({ name }) => pair(name))])}
        </Field>
      </>
    );
  if (task === "selection")
    return (
      <>
        {label}
        <Field name={t.form.budget}>
          {typed("budget", { type: "number", min: 1, max: 10000, required: true })}
        </Field>
        <Field name={t.form.strategy}>{chosen("strategy", STRATEGIES.map(pair))}</Field>
      </>
    );
  return (
    <>
      {label}
      <Field name={t.form.classifier}>{chosen("classifier", Object.entries(t.classifiers))}</Field>
    </>
  );
}

const pair = (name: string): readonly [string, string] => [name, name];

interface FieldProps {
  name: string;
  hint?: string;
  children: ReactNode;
}

function Field({ name, hint, children }: FieldProps) {
  return (
    // biome-ignore lint/a11y/noLabelWithoutControl: the control is among the children
    <label>
      {name}
      {children}
      {hint && <small>{hint}</small>}
    </label>
  );
}
