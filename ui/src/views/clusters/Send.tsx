import { type ReactNode, useState } from "react";
import { GONE, Problem, type Schemas } from "../../api/client";
import { type Cluster, label, makeSet, tag, type Which } from "../../api/clusters";
import { forgetAnswers } from "../../lib/ask";
import { count } from "../../lib/format";
import { useKeys } from "../../lib/keys";
import { useSettings, useWordsOf } from "../../lib/settings";
import { Icon } from "../../parts/Icon";
import { Notice, ProblemNotice } from "../../parts/Notice";
import { SendDialog, type Sending } from "./SendDialog";
import { isNone, type Selection } from "./selection";
import { WORDS } from "./words";

const MOST = 10_000;

interface SendProps {
  run: string;
  cluster: Cluster;
  selection: Selection;
  onAll: () => void;
  onClear: () => void;
  /** How the members are shown. */
  children: ReactNode;
}

/** What was done, and how it is taken back where that takes nothing else away. */
interface Done {
  title: string;
  words: string;
  undo?: (() => Promise<unknown>) | undefined;
}

/** Sends what is chosen, or all that is in the cluster, to a label, a tag or a saved set. */
export function Send({ run, cluster, selection, onAll, onClear, children }: SendProps) {
  const w = useWordsOf(WORDS);
  const { language } = useSettings();
  const [sending, setSending] = useState<Sending["kind"]>();
  const [done, setDone] = useState<Done>();
  const [problem, setProblem] = useState<Problem>();
  const all = selection.all || isNone(selection);
  const size = all ? cluster.size : selection.ids.size;
  const said = count(size, language);
  const what = all ? w.selectedAll(said) : w.selected(said);
  const tooMany = !all && size > MOST;
  const which: Which = all ? { cluster: `${run}:${cluster.cluster}` } : { ids: [...selection.ids] };
  const begin = (kind: Sending["kind"]) => () => {
    setDone(undefined);
    setProblem(undefined);
    if (!tooMany && size) setSending(kind);
  };
  useKeys({ l: begin("label"), t: begin("tag"), v: begin("set") });

  async function send(told: Sending): Promise<void> {
    const changed = await sent(told, which);
    setSending(undefined);
    forgetLabels();
    setDone(doneOf(told, changed, which));
  }
  function doneOf(told: Sending, changed: Schemas["Changed"] | undefined, of: Which): Done {
    const words = changed ? w.done(count(changed.changed, language), changed.unchanged) : "";
    // What others had given before must not be taken away with it.
    const undo = changed && !changed.unchanged ? () => sent(told, of, true) : undefined;
    if (told.kind === "set") return { title: w.saved(told.name), words };
    if (told.kind === "tag") return { title: w.tagged(told.name), words, undo };
    return { title: w.labelled(`${told.name} = ${told.value}`), words, undo };
  }
  async function undo(): Promise<void> {
    setProblem(undefined);
    try {
      await done?.undo?.();
      forgetLabels();
      setDone({ title: w.undone, words: "" });
    } catch (error) {
      setProblem(error instanceof Problem ? error : new Problem(0, GONE, ""));
    }
  }
  const act = (kind: Sending["kind"], words: string, key: string) => (
    <button
      type="button"
      className="button"
      title={key}
      disabled={tooMany || !size}
      onClick={begin(kind)}
    >
      {words}
    </button>
  );
  return (
    <div className="send">
      <div className="send-bar">
        <h2 aria-live="polite">{what}</h2>
        {isNone(selection) ? (
          <button type="button" className="button quiet" title="a" onClick={onAll}>
            {w.selectAll}
          </button>
        ) : (
          <button type="button" className="button quiet" title="Esc" onClick={onClear}>
            {w.clear}
          </button>
        )}
        {children}
        <span className="send-to">
          <Icon name="send" size={15} /> {w.sendTo}
        </span>
        {act("label", w.toLabel, "l")}
        {act("tag", w.toTag, "t")}
        {act("set", w.toSet, "v")}
      </div>
      {tooMany && <Notice kind="warn" title={w.tooMany} />}
      {done && (
        <Notice
          kind="info"
          title={done.title}
          actions={
            done.undo && (
              <button type="button" className="button" onClick={() => void undo()}>
                <Icon name="undo" size={16} /> {w.undo}
              </button>
            )
          }
        >
          {done.words}
        </Notice>
      )}
      {problem && <ProblemNotice problem={problem} retry={() => void undo()} />}
      {sending && (
        <SendDialog
          kind={sending}
          what={what}
          onSend={send}
          onClose={() => setSending(undefined)}
        />
      )}
    </div>
  );
}

/** Labels are in the answers to nearly everything. */
const forgetLabels = forgetAnswers;

async function sent(
  told: Sending,
  which: Which,
  remove = false,
): Promise<Schemas["Changed"] | undefined> {
  if (told.kind === "label") return label(told.name, told.value, which, remove);
  if (told.kind === "tag") return tag(told.name, which, remove);
  await makeSet(told.name, told.note, which);
  return undefined;
}
