import { useRef, useState } from "react";
import { library as askLibrary } from "../../api/client";
import * as api from "../../api/library";
import { useAsked } from "../../lib/ask";
import { count, plain } from "../../lib/format";
import { useSettings, useWordsOf } from "../../lib/settings";
import { Copy } from "../../parts/Copy";
import { Notice, ProblemNotice } from "../../parts/Notice";
import { rowsToken, when } from "./figures";
import type { TabProps } from "./LibraryView";
import { freshKey, useDoing } from "./live";
import { Bones, Command, More, Panel, Table } from "./Parts";
import { REASONS } from "./reasons";
import { includes } from "./state";
import { WORDS } from "./words";

/** Files that could not be indexed: why, what to do about it, and which they are. */
export function Rejected(props: TabProps) {
  const { state, pulse, round, role } = props;
  const t = useWordsOf(WORDS);
  const asked = useAsked(`library ${round} ${rowsToken(pulse.now)}`, askLibrary);
  const reasons = Object.entries(asked.data?.rejected_by_reason ?? {}).sort((a, b) => b[1] - a[1]);
  if (asked.error) return <ProblemNotice problem={asked.error} retry={asked.retry} />;
  if (asked.data && !reasons.length)
    return (
      <Notice kind="info" title={t.rejectedNone}>
        {t.rejectedNoneDo}
      </Notice>
    );
  const operator = includes(role, "operator");
  return (
    <div className="rejected">
      <Panel title={t.reasonsTitle} busy={asked.loading && !asked.data}>
        {!asked.data ? <Bones rows={6} /> : <ReasonList {...props} reasons={reasons} />}
      </Panel>
      <div>
        {state.reason && <Help reason={state.reason} />}
        {operator && asked.data && <Retry {...props} />}
        {operator ? (
          <Files {...props} />
        ) : (
          <Notice kind="info" title={t.needs("operator")}>
            {t.rejectedNeeds}
          </Notice>
        )}
      </div>
    </div>
  );
}

function ReasonList({
  state,
  update,
  reasons,
}: TabProps & { reasons: readonly [string, number][] }) {
  const t = useWordsOf(WORDS);
  const { language } = useSettings();
  const all = reasons.reduce((sum, [, number]) => sum + number, 0);
  const row = (reason: string, name: string, number: number) => (
    <li key={reason}>
      <button
        type="button"
        data-row
        aria-pressed={state.reason === reason}
        onClick={() => update({ reason, n: 50 })}
      >
        <span>{name}</span>
        <span className="figure">{count(number, language)}</span>
      </button>
    </li>
  );
  return (
    <ul className="reasons">
      {row("", t.allReasons, all)}
      {reasons.map(([reason, number]) => row(reason, plain(reason), number))}
    </ul>
  );
}

function Help({ reason }: { reason: string }) {
  const t = useWordsOf(WORDS);
  const { language } = useSettings();
  const [what, todo] = REASONS[language][reason] ?? [t.unknownReason, "–"];
  return (
    <Panel title={plain(reason)} aside={<code>{reason}</code>}>
      <dl className="facts">
        <div>
          <dt>{t.what}</dt>
          <dd>{what}</dd>
        </div>
        <div>
          <dt>{t.todo}</dt>
          <dd>{todo}</dd>
        </div>
      </dl>
    </Panel>
  );
}

/** A job that reads rejected files below a folder again, or the command that does. */
function Retry({ round, refresh }: TabProps) {
  const t = useWordsOf(WORDS);
  const asked = useAsked(`sources ${round}`, api.sources);
  const [root, setRoot] = useState("");
  const [done, setDone] = useState(false);
  const { act, busy, problem } = useDoing();
  const key = useRef(freshKey());
  const roots = asked.data?.roots ?? [];
  const chosen = root || roots[0] || "";
  const retry = () =>
    act(async () => {
      await api.askFor("index", { paths: [chosen], retry_rejected: true }, key.current);
      key.current = freshKey();
      setDone(true);
      refresh();
    });
  return (
    <Panel title={t.retry} aside={t.retryText} busy={asked.loading && !asked.data}>
      {!asked.data && asked.loading && <Bones rows={1} />}
      {asked.error && <ProblemNotice problem={asked.error} retry={asked.retry} />}
      {asked.data && !roots.length && (
        <p className="panel-note">
          {t.byCommand} <Command words="syntopy index FOLDER --retry-rejected" />
        </p>
      )}
      {roots.length > 0 && (
        <div className="line-form">
          <label className="root">
            {t.root}
            <select
              value={chosen}
              onChange={(event) => {
                setRoot(event.target.value);
                setDone(false);
              }}
            >
              {roots.map((each) => (
                <option key={each}>{each}</option>
              ))}
            </select>
          </label>
          <button type="button" className="button accent" disabled={busy || done} onClick={retry}>
            {t.retry}
          </button>
          <span role="status">{done ? t.retryDone : ""}</span>
        </div>
      )}
      {problem && <ProblemNotice problem={problem} />}
    </Panel>
  );
}

function Files({ state, update, pulse, round }: TabProps) {
  const t = useWordsOf(WORDS);
  const { language } = useSettings();
  const { reason, n } = state;
  const key = `rejected ${reason} ${n} ${round} ${rowsToken(pulse.now)}`;
  const asked = useAsked(key, (signal) => api.refused({ reason, limit: n }, signal));
  const rows = asked.data?.rows;
  return (
    <Panel title={t.filesOf} busy={asked.loading}>
      {asked.error && <ProblemNotice problem={asked.error} retry={asked.retry} />}
      {!rows && asked.loading && <Bones rows={8} />}
      {rows && (
        <div className={asked.loading ? "stale" : undefined}>
          <Table label={t.filesOf} columns={t.refusedCols}>
            {rows.map((file) => (
              <tr key={file.source}>
                <td data-of={t.refusedCols[0]} className="path">
                  <div>
                    <code>{file.source}</code>
                    <Copy words={file.source} />
                  </div>
                </td>
                <td data-of={t.refusedCols[1]} className="nowrap">
                  {plain(file.reason)}
                </td>
                <td data-of={t.refusedCols[2]}>{file.detail || "–"}</td>
                <td data-of={t.refusedCols[3]} className="nowrap">
                  {when(`${file.seen_at}Z`, language)}
                </td>
              </tr>
            ))}
          </Table>
          <More
            shown={rows.length}
            more={asked.data?.cursor !== ""}
            n={n}
            onMore={(more) => update({ n: more }, "replace")}
          />
        </div>
      )}
    </Panel>
  );
}
