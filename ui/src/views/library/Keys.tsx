import { type FormEvent, useEffect, useRef, useState } from "react";
import * as api from "../../api/library";
import { useAsked } from "../../lib/ask";
import { useSettings, useWordsOf } from "../../lib/settings";
import { Copy } from "../../parts/Copy";
import { Dialog } from "../../parts/Dialog";
import { Icon } from "../../parts/Icon";
import { Notice, ProblemNotice } from "../../parts/Notice";
import { day } from "./figures";
import type { TabProps } from "./LibraryView";
import { useDoing } from "./live";
import { Bones, Panel, Table, Tag } from "./Parts";
import { grantable } from "./state";
import { WORDS } from "./words";

/** Who may ask from elsewhere: keys are made, seen once, and revoked. */
export function Keys(props: TabProps) {
  const { state, update, round, refresh } = props;
  const t = useWordsOf(WORDS);
  const [made, setMade] = useState<api.NewKey | undefined>();
  const [leaving, setLeaving] = useState<api.Key | undefined>();
  const asked = useAsked(`keys ${state.all} ${round}`, (signal) => api.keys(state.all, signal));
  const keys = asked.data;
  const aside = (
    <>
      <label className="tick">
        <input
          type="checkbox"
          checked={state.all}
          onChange={(event) => update({ all: event.target.checked }, "replace")}
        />
        {t.showOld}
      </label>
      <button type="button" className="button accent" onClick={() => update({ making: true })}>
        <Icon name="plus" size={15} /> {t.newKey}
      </button>
    </>
  );
  return (
    <Panel title={t.tabs.keys ?? ""} aside={aside} busy={asked.loading && !keys}>
      {asked.error && <ProblemNotice problem={asked.error} retry={asked.retry} />}
      {!keys && asked.loading && <Bones rows={4} />}
      {keys?.length === 0 && (
        <Notice kind="info" title={t.keysNone}>
          {t.keysNoneDo}
        </Notice>
      )}
      {keys && keys.length > 0 && (
        <div className={asked.loading ? "stale" : undefined}>
          <Table label={t.tabs.keys ?? ""} columns={t.keyCols}>
            {[...keys].reverse().map((key) => (
              <KeyRow
                key={key.prefix}
                of={key}
                here={props.pulse.now?.library}
                onRevoke={() => setLeaving(key)}
              />
            ))}
          </Table>
        </div>
      )}
      {state.making && !made && (
        <NewKey
          {...props}
          onMade={(key) => {
            setMade(key);
            update({ making: false }, "replace");
            refresh();
          }}
        />
      )}
      {made && <Shown made={made} onClose={() => setMade(undefined)} />}
      {leaving && (
        <Revoke
          of={leaving}
          own={props.session.how.endsWith(`key:${leaving.prefix}`)}
          onClose={() => {
            // Also when it was refused: somebody else may have been quicker.
            setLeaving(undefined);
            refresh();
          }}
        />
      )}
    </Panel>
  );
}

interface RowProps {
  of: api.Key;
  /** Id of this library. */
  here: string | undefined;
  onRevoke: () => void;
}

function KeyRow({ of, here, onRevoke }: RowProps) {
  const t = useWordsOf(WORDS);
  const { language } = useSettings();
  const cols = t.keyCols;
  const forAll = of.libraries.includes("*");
  const libraries = of.libraries.map((each) => (each === here ? t.thisLibrary : each));
  return (
    <tr className={of.state === "active" ? undefined : "over"}>
      <td data-of={cols[0]}>
        <strong>{of.name}</strong>
      </td>
      <td data-of={cols[1]} title={t.roles[of.role]}>
        {of.role}
      </td>
      <td data-of={cols[2]}>
        <code>syn_{of.prefix}_…</code>
      </td>
      <td data-of={cols[3]}>{forAll ? t.everyLibrary : libraries.join(", ")}</td>
      <td data-of={cols[4]} className="nowrap">
        {day(of.created_at, language)}
      </td>
      <td data-of={cols[5]} className="nowrap">
        {day(of.expires_at, language)}
      </td>
      <td data-of={cols[6]} className="nowrap">
        {of.last_used_on ? day(of.last_used_on, language) : t.never}
      </td>
      <td data-of="" className="row-end">
        {of.state === "active" ? (
          <button
            type="button"
            className="button small"
            data-row
            aria-label={`${t.revoke}: ${of.name}`}
            onClick={onRevoke}
          >
            {t.revoke}
          </button>
        ) : (
          <Tag state={of.state} said={t.keyStates[of.state] ?? of.state} />
        )}
      </td>
    </tr>
  );
}

const DAYS = [7, 30, 90, 365, 730];

function NewKey({
  role,
  session,
  update,
  onMade,
}: TabProps & { onMade: (key: api.NewKey) => void }) {
  const t = useWordsOf(WORDS);
  const [name, setName] = useState("");
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current?.focus(), []);
  const [wanted, setWanted] = useState<api.Role>("reader");
  const [days, setDays] = useState(365);
  const [every, setEvery] = useState(false);
  const { act, busy, problem } = useDoing();
  function submit(event: FormEvent): void {
    event.preventDefault();
    const libraries = every ? ["*"] : [];
    act(async () =>
      onMade(await api.createKey({ name: name.trim(), role: wanted, days, libraries })),
    );
  }
  return (
    <Dialog title={t.newKey} onClose={() => update({ making: false })}>
      <form className="key-form" onSubmit={submit}>
        <label>
          {t.keyName}
          <input
            ref={field}
            value={name}
            maxLength={128}
            required
            autoComplete="off"
            aria-describedby="key-name-hint"
            onChange={(event) => setName(event.target.value)}
          />
          <span id="key-name-hint" className="panel-note">
            {t.keyNameHint}
          </span>
        </label>
        <fieldset>
          <legend>{t.role}</legend>
          {grantable(role).map((each) => (
            <label key={each} className="tick">
              <input
                type="radio"
                name="role"
                checked={each === wanted}
                onChange={() => setWanted(each)}
              />
              <span>
                <strong>{each}</strong> {t.roles[each]}
              </span>
            </label>
          ))}
        </fieldset>
        <label>
          {t.days}
          <select value={days} onChange={(event) => setDays(Number(event.target.value))}>
            {DAYS.map((each) => (
              <option key={each}>{each}</option>
            ))}
          </select>
        </label>
        {session.libraries.includes("*") && (
          <label className="tick">
            <input
              type="checkbox"
              checked={every}
              onChange={(event) => setEvery(event.target.checked)}
            />
            {t.everyLibrary}
          </label>
        )}
        {problem && <ProblemNotice problem={problem} />}
        <button type="submit" className="button accent" disabled={busy || !name.trim()}>
          {t.make}
        </button>
      </form>
    </Dialog>
  );
}

/** The key itself, once; it closes only by saying that it was taken. */
function Shown({ made, onClose }: { made: api.NewKey; onClose: () => void }) {
  const t = useWordsOf(WORDS);
  const { language } = useSettings();
  const { key, token } = made;
  return (
    <Dialog title={t.shownOnce}>
      <div className="key-form">
        <p>{t.shownOnceText(key.name, key.role, day(key.expires_at, language))}</p>
        <input
          className="token"
          readOnly
          value={token}
          aria-label={t.tabs.keys}
          onFocus={(event) => event.currentTarget.select()}
        />
        <Copy words={token} label={t.tabs.keys ?? ""} />
        <button type="button" className="button accent" onClick={onClose}>
          {t.haveIt}
        </button>
      </div>
    </Dialog>
  );
}

interface RevokeProps {
  of: api.Key;
  own: boolean;
  onClose: () => void;
}

function Revoke({ of, own, onClose }: RevokeProps) {
  const t = useWordsOf(WORDS);
  const { act, busy, problem } = useDoing();
  const revoke = () =>
    act(async () => {
      await api.revokeKey(of.prefix);
      onClose();
    });
  return (
    <Dialog title={t.revokeTitle(of.name)} onClose={onClose}>
      <div className="key-form">
        <p>{t.revokeText}</p>
        {own && <Notice kind="warn" title={t.revokeOwn} />}
        {problem && <ProblemNotice problem={problem} />}
        <div className="key-ends">
          <button type="button" className="button" onClick={onClose}>
            {t.cancelled}
          </button>
          <button type="button" className="button accent" disabled={busy} onClick={revoke}>
            {t.revoke}
          </button>
        </div>
      </div>
    </Dialog>
  );
}
