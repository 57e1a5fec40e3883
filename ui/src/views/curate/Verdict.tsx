import { type RefObject, useState } from "react";
import * as api from "../../api/curate";
import { useAsked } from "../../lib/ask";
import { plain } from "../../lib/format";
import { useKeys } from "../../lib/keys";
import { useWordsOf } from "../../lib/settings";
import { Icon } from "../../parts/Icon";
import type { Task } from "./tasks";
import { WORDS } from "./words";

interface VerdictsProps {
  task: Task | undefined;
  verdict: string;
  disabled: boolean;
  onDecide: (verdict: api.Verdict) => void;
  onUndo: () => void;
  onMove: (by: 1 | -1) => void;
}

/** The decisions, each with its key. */
export function Verdicts({ task, verdict, disabled, onDecide, onUndo, onMove }: VerdictsProps) {
  const t = useWordsOf(WORDS);
  const button = (
    each: api.Verdict,
    key: string,
    label: string,
    icon: "check" | "close" | "right",
  ) => (
    <button
      type="button"
      className={`button verdict is-${each}`}
      aria-pressed={verdict === each}
      aria-keyshortcuts={key}
      disabled={disabled}
      onClick={() => onDecide(each)}
    >
      <Icon name={icon} size={16} /> <span>{label}</span> <kbd>{key}</kbd>
    </button>
  );
  return (
    <div className="verdicts">
      {task !== "selection" && button("accept", "a", task ? t.accepts[task] : t.accept, "check")}
      {button("reject", "r", task ? t.rejects[task] : t.reject, "close")}
      {button("skip", "s", t.skip, "right")}
      <div className="verdict-moves">
        <button
          type="button"
          className="button quiet"
          aria-label={t.previous}
          title="k"
          onClick={() => onMove(-1)}
        >
          <Icon name="left" />
        </button>
        <button type="button" className="button quiet" aria-keyshortcuts="u" onClick={onUndo}>
          <Icon name="undo" size={16} /> {t.undo} <kbd>u</kbd>
        </button>
        <button
          type="button"
          className="button quiet"
          aria-label={t.next}
          title="j"
          onClick={() => onMove(1)}
        >
          <Icon name="right" />
        </button>
      </div>
    </div>
  );
}

interface ValuesProps {
  label: string;
  /** Values that the subject has now. */
  now: readonly string[];
  disabled: boolean;
  onGive: (values: string[]) => void;
}

/** The values of a label; the first nine have a number as their key. */
export function Values({ label, now, disabled, onGive }: ValuesProps) {
  const t = useWordsOf(WORDS);
  const names = useAsked("label names", api.labelNames);
  const [typed, setTyped] = useState("");
  const values = Object.keys(names.data?.find(({ name }) => name === label)?.values ?? {});
  useKeys(
    Object.fromEntries(
      values.slice(0, 9).map((value, at) => [String(at + 1), () => onGive([value])]),
    ),
    !disabled,
  );
  return (
    <section>
      <h3>{t.chooseLabel(plain(label))}</h3>
      <div className="values">
        {values.slice(0, 30).map((value, at) => (
          <button
            key={value}
            type="button"
            className="button value"
            aria-pressed={now.includes(value)}
            disabled={disabled}
            onClick={() => onGive([value])}
          >
            {at < 9 && <kbd>{at + 1}</kbd>} <span>{plain(value)}</span>
          </button>
        ))}
      </div>
      <form
        className="value-other"
        onSubmit={(event) => {
          event.preventDefault();
          if (typed.trim()) onGive([typed.trim()]);
          setTyped("");
        }}
      >
        <input
          type="text"
          aria-label={t.otherValue}
          placeholder={t.otherValue}
          value={typed}
          maxLength={1000}
          onChange={(event) => setTyped(event.target.value)}
        />
        <button type="submit" className="button" disabled={disabled || !typed.trim()}>
          {t.give}
        </button>
      </form>
    </section>
  );
}

interface CommentProps {
  field: RefObject<HTMLTextAreaElement | null>;
  value: string;
  onChange: (value: string) => void;
}

export function Comment({ field, value, onChange }: CommentProps) {
  const t = useWordsOf(WORDS);
  return (
    <label className="comment">
      <span>
        {t.comment} <kbd>c</kbd>
      </span>
      <textarea
        ref={field}
        rows={2}
        value={value}
        maxLength={4000}
        placeholder={t.commentHint}
        onChange={(event) => onChange(event.target.value)}
      />
    </label>
  );
}
