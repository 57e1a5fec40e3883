import { type FormEvent, useEffect, useRef, useState } from "react";
import { GONE, Problem } from "../../api/client";
import * as api from "../../api/clusters";
import { useAsked } from "../../lib/ask";
import { useWordsOf } from "../../lib/settings";
import { Dialog } from "../../parts/Dialog";
import { Notice, ProblemNotice } from "../../parts/Notice";
import { WORDS } from "./words";

/** Where something is sent. */
export type Sending =
  | { kind: "label"; name: string; value: string }
  | { kind: "tag"; name: string }
  | { kind: "set"; name: string; note: string };

interface SendDialogProps {
  kind: Sending["kind"];
  /** What is sent, in words. */
  what: string;
  onSend: (told: Sending) => Promise<void>;
  onClose: () => void;
}

/** Asks under which name something is sent; what was typed stays when it is refused. */
export function SendDialog({ kind, what, onSend, onClose }: SendDialogProps) {
  const w = useWordsOf(WORDS);
  const [name, setName] = useState("");
  const [more, setMore] = useState("");
  const [problem, setProblem] = useState<Problem>();
  const [busy, setBusy] = useState(false);
  const known = useKnown(kind);
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current?.focus(), []);
  const values = known.find((each) => each.name === name.trim())?.values ?? [];
  async function submit(event?: FormEvent): Promise<void> {
    event?.preventDefault();
    setBusy(true);
    setProblem(undefined);
    try {
      await onSend(sendingOf(kind, name.trim(), more.trim()));
    } catch (error) {
      setProblem(error instanceof Problem ? error : new Problem(0, GONE, ""));
      setBusy(false);
    }
  }
  const [title, first, second, action] = {
    label: [w.labelTitle(what), w.labelName, w.labelValue, w.give],
    tag: [w.tagTitle(what), w.tagName, "", w.giveTag],
    set: [w.setTitle(what), w.setName, w.setNote, w.makeSet],
  }[kind];
  const ready = name.trim() !== "" && (kind !== "label" || more.trim() !== "");
  return (
    <Dialog title={title ?? ""} onClose={onClose}>
      <form className="send-form" onSubmit={(event) => void submit(event)}>
        <label>
          {first}
          <input
            ref={field}
            type="text"
            required
            maxLength={kind === "set" ? 128 : 64}
            list="send-names"
            value={name}
            placeholder={kind === "label" ? w.labelNameHint : undefined}
            onChange={(event) => setName(event.target.value)}
          />
        </label>
        <Suggestions id="send-names" words={known.map((each) => each.name)} />
        {second && (
          <label>
            {second}
            <input
              type="text"
              required={kind === "label"}
              maxLength={1000}
              list="send-values"
              value={more}
              placeholder={kind === "label" ? w.labelValueHint : undefined}
              onChange={(event) => setMore(event.target.value)}
            />
          </label>
        )}
        <Suggestions id="send-values" words={values} />
        {problem &&
          (problem.status === 412 ? (
            <Notice kind="warn" title={w.setTaken} />
          ) : (
            <ProblemNotice problem={problem} retry={() => void submit()} />
          ))}
        <div className="form-acts">
          <button type="button" className="button quiet" onClick={onClose}>
            {w.cancel}
          </button>
          <button type="submit" className="button accent" disabled={busy || !ready}>
            {action}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

function sendingOf(kind: Sending["kind"], name: string, more: string): Sending {
  if (kind === "label") return { kind, name, value: more };
  return kind === "tag" ? { kind, name } : { kind, name, note: more };
}

/** Names that are in use already, so that one thing gets one name. */
function useKnown(kind: Sending["kind"]): { name: string; values: string[] }[] {
  const labels = useAsked(kind === "label" ? "label names" : null, api.labelNames);
  const tags = useAsked(kind === "tag" ? "tags" : null, api.tags);
  if (kind === "tag") return (tags.data ?? []).map(({ name }) => ({ name, values: [] }));
  return (labels.data ?? []).map(({ name, values }) => ({ name, values: Object.keys(values) }));
}

function Suggestions({ id, words }: { id: string; words: string[] }) {
  return (
    <datalist id={id}>
      {words.map((each) => (
        <option key={each} value={each} />
      ))}
    </datalist>
  );
}
