import { type FormEvent, useState } from "react";
import { Problem } from "../../api/client";
import * as api from "../../api/map";
import { count } from "../../lib/format";
import { useSettings, useWordsOf } from "../../lib/settings";
import { Icon, type IconName } from "../../parts/Icon";
import { Notice, ProblemNotice } from "../../parts/Notice";
import { WORDS } from "./words";

interface KeepProps {
  chosen: Uint32Array;
  of: api.Of | undefined;
  onChanged: () => void;
}

type Way = "set" | "tag" | "label";

interface Done {
  words: string;
  /** Takes it back; a set is not taken back here. */
  undo: (() => Promise<unknown>) | undefined;
}

/** What can be kept of the chosen pictures: a set, a tag, a label. */
export function Keep({ chosen, of, onChanged }: KeepProps) {
  const t = useWordsOf(WORDS);
  const { language } = useSettings();
  const [way, setWay] = useState<Way | undefined>();
  const [name, setName] = useState("");
  const [value, setValue] = useState("");
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | undefined>();
  const [there, setThere] = useState<api.SavedSet | undefined>();
  const [done, setDone] = useState<Done | undefined>();
  const said = (n: number) => count(n, language);

  async function trying(act: () => Promise<Done>): Promise<void> {
    setBusy(true);
    setProblem(undefined);
    setThere(undefined);
    setDone(undefined);
    try {
      setDone(await act());
      setWay(undefined);
    } catch (error) {
      const found = error instanceof Problem ? error : new Problem(0, "page", String(error));
      const known =
        found.status === 412 ? await api.set(name.trim()).catch(() => undefined) : undefined;
      setThere(known);
      if (!known) setProblem(found);
    } finally {
      setBusy(false);
    }
  }

  function save(add: boolean): Promise<void> {
    if (!of) return Promise.resolve();
    const [called, picked] = [name.trim(), api.manyAt(of, chosen)];
    const label = { name: called, value: value.trim() };
    return trying(async () => {
      if (way === "set") {
        const stored = await (add ? api.addToSet(called, picked) : api.makeSet(called, picked));
        return { words: t.setSaved(called, said(stored.items ?? picked.count)), undo: undefined };
      }
      const changed =
        way === "tag"
          ? await api.changeTag(called, picked, false)
          : await api.changeLabel(label, picked, false);
      onChanged();
      const words =
        way === "tag"
          ? t.tagged(called, said(changed))
          : t.labelled(called, label.value, said(changed));
      const undo = () =>
        way === "tag" ? api.changeTag(called, picked, true) : api.changeLabel(label, picked, true);
      // What had it before would lose it, too.
      return { words, undo: changed === picked.count ? undo : undefined };
    });
  }
  function submit(event: FormEvent): void {
    event.preventDefault();
    void save(false);
  }
  function open(next: Way): void {
    setWay(way === next ? undefined : next);
    setThere(undefined);
    setProblem(undefined);
    setDone(undefined);
  }
  async function undo(act: () => Promise<unknown>): Promise<void> {
    await trying(async () => {
      await act();
      onChanged();
      return { words: t.undone, undo: undefined };
    });
  }
  const button = (each: Way, icon: IconName, words: string) => (
    <button
      type="button"
      className="button small"
      aria-expanded={way === each}
      disabled={!of || busy}
      onClick={() => open(each)}
    >
      <Icon name={icon} size={14} /> {words}
    </button>
  );
  const named = { set: t.setName, tag: t.tagName, label: t.labelName };
  return (
    <>
      {button("set", "pin", t.saveSet)}
      {button("tag", "check", t.tag)}
      {button("label", "edit", t.label)}
      {way && (
        <form className="map-keep" onSubmit={submit}>
          <label>
            {named[way]}
            <input
              // biome-ignore lint/a11y/noAutofocus: it was asked for by the button above
              autoFocus
              required
              maxLength={way === "set" ? 128 : 64}
              value={name}
              autoComplete="off"
              onChange={(event) => setName(event.target.value)}
            />
          </label>
          {way === "label" && (
            <label>
              {t.labelValue}
              <input
                required
                maxLength={1000}
                value={value}
                autoComplete="off"
                onChange={(event) => setValue(event.target.value)}
              />
            </label>
          )}
          <button type="submit" className="button small accent" disabled={busy || !name.trim()}>
            {busy ? t.saving : t.save}
          </button>
        </form>
      )}
      {there && (
        <Notice
          kind="warn"
          title={t.setThere(there.name)}
          actions={
            there.kind === "items" && (
              <button type="button" className="button small" onClick={() => save(true)}>
                {t.addTo}
              </button>
            )
          }
        >
          {there.kind === "items"
            ? t.setThereText(there.changed_by, said(there.items ?? 0))
            : t.setAsks}
        </Notice>
      )}
      {problem && <ProblemNotice problem={problem} />}
      {done && (
        <Notice
          kind="info"
          title={done.words}
          actions={
            done.undo && (
              <button
                type="button"
                className="button small"
                onClick={() => done.undo && undo(done.undo)}
              >
                <Icon name="undo" size={14} /> {t.undo}
              </button>
            )
          }
        />
      )}
    </>
  );
}
