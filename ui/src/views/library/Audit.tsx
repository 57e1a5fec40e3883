import { type FormEvent, useEffect, useRef, useState } from "react";
import * as api from "../../api/library";
import { useAsked } from "../../lib/ask";
import { count, plain } from "../../lib/format";
import { isOver } from "../../lib/jobs";
import { useSettings, useWordsOf } from "../../lib/settings";
import { Icon } from "../../parts/Icon";
import { Notice, ProblemNotice } from "../../parts/Notice";
import { inWords, jobsToken, saysSomething, when } from "./figures";
import type { TabProps } from "./LibraryView";
import { freshKey, useDoing, useFollowed } from "./live";
import { Bones, Facts, More, Panel, Progress, Table, Tag } from "./Parts";
import { ACTIONS, OUTCOMES } from "./state";
import { WORDS } from "./words";

/** Who did what: the rows that fit, the newest first, and whether their chain is whole. */
export function Audit(props: TabProps) {
  const { state, update, round } = props;
  const t = useWordsOf(WORDS);
  const { n, since, actor, action, outcome } = state;
  const wanted = { since, actor, action, outcome, limit: n };
  // Not asked again by itself: that it was read is a row of it.
  const asked = useAsked(`audit ${JSON.stringify(wanted)} ${round}`, (signal) =>
    api.audit(wanted, signal),
  );
  const rows = asked.data?.rows;
  return (
    <>
      <Chain {...props} />
      <Panel title={t.tabs.audit ?? ""} aside={<Files since={since} />} busy={asked.loading}>
        <Filters key={actor} {...props} />
        <p className="panel-note">{t.auditLine}</p>
        {asked.error && <ProblemNotice problem={asked.error} retry={asked.retry} />}
        {!rows && asked.loading && <Bones rows={12} />}
        {rows?.length === 0 && (
          <Notice kind="info" title={t.auditNone}>
            {t.auditNoneDo}
          </Notice>
        )}
        {rows && rows.length > 0 && (
          <div className={asked.loading ? "stale" : undefined}>
            <Table label={t.tabs.audit ?? ""} columns={t.auditCols}>
              {rows.map((row) => (
                <Row key={row.number} row={row} />
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
    </>
  );
}

function Files({ since }: { since: string }) {
  const t = useWordsOf(WORDS);
  return (
    <>
      <span>{t.exportAs}</span>
      <a className="button small" href={api.auditFileUrl("jsonl", since)} download>
        <Icon name="download" size={14} /> JSON
      </a>
      <a className="button small" href={api.auditFileUrl("dicom", since)} download>
        <Icon name="download" size={14} /> DICOM
      </a>
    </>
  );
}

function Filters({ state, update }: TabProps) {
  const t = useWordsOf(WORDS);
  const [actor, setActor] = useState(state.actor);
  function submit(event: FormEvent): void {
    event.preventDefault();
    update({ actor: actor.trim(), n: 50 });
  }
  return (
    <form className="line-form" onSubmit={submit}>
      <label>
        {t.since}
        <input
          type="date"
          value={state.since}
          onChange={(event) => update({ since: event.target.value, n: 50 })}
        />
      </label>
      <label>
        {t.actor}
        <input
          value={actor}
          placeholder={t.actorHint}
          autoComplete="off"
          spellCheck={false}
          onChange={(event) => setActor(event.target.value)}
          onBlur={() => actor.trim() !== state.actor && update({ actor: actor.trim(), n: 50 })}
        />
      </label>
      <label>
        {t.action}
        <select
          value={state.action}
          onChange={(event) => update({ action: event.target.value, n: 50 })}
        >
          <option value="">{t.anyAction}</option>
          {ACTIONS.map((each) => (
            <option key={each} value={each}>
              {t.actions[each]}
            </option>
          ))}
        </select>
      </label>
      <label>
        {t.outcome}
        <select
          value={state.outcome}
          onChange={(event) => update({ outcome: event.target.value, n: 50 })}
        >
          <option value="">{t.anyOutcome}</option>
          {OUTCOMES.map((each) => (
            <option key={each} value={each}>
              {t.endings[each]}
            </option>
          ))}
        </select>
      </label>
    </form>
  );
}

/** What it was about, in a few words. */
function aboutOf({ subject }: api.AuditRow): string {
  const { what, name, kind, route } = subject;
  const said = [what, name ?? kind].filter(Boolean).map(inWords);
  return said.join(" ") || inWords(route ?? "");
}

function Row({ row }: { row: api.AuditRow }) {
  const t = useWordsOf(WORDS);
  const { language } = useSettings();
  const [open, setOpen] = useState(false);
  const cols = t.auditCols;
  if (!row.readable)
    return (
      <tr>
        <td data-of={cols[0]}>{row.number}</td>
        <td colSpan={5} className="warned">
          {t.tampered}
        </td>
      </tr>
    );
  const patients = row.patients.length;
  const subject = Object.entries(row.subject).filter(([, value]) => saysSomething(value));
  return (
    <>
      <tr className={open ? "open" : undefined}>
        <td data-of={cols[0]} className="nowrap">
          <button
            type="button"
            className="row-open"
            data-row
            aria-expanded={open}
            onClick={() => setOpen(!open)}
          >
            {row.number}
          </button>
        </td>
        <td data-of={cols[1]} className="nowrap">
          {when(row.at, language)}
        </td>
        <td data-of={cols[2]}>{row.actor}</td>
        <td data-of={cols[3]}>
          {t.actions[row.action] ?? row.action}
          <span className="about">
            {aboutOf(row)}
            {patients > 0 && ` · ${t.ofPatients(patients, count(patients, language))}`}
          </span>
        </td>
        <td data-of={cols[4]}>
          <Tag state={row.outcome} said={t.endings[row.outcome] ?? row.outcome} />
        </td>
        <td data-of={cols[5]}>{row.origin || "–"}</td>
      </tr>
      {open && (
        <tr className="detail">
          <td colSpan={6}>
            <Facts
              of={[
                ...subject.map(([name, value]) => [plain(name), value] as const),
                ...(patients ? [[t.pseudonyms, row.patients] as const] : []),
                [t.request, row.request_id],
                [t.hash, row.hash],
              ]}
            />
          </td>
        </tr>
      )}
    </>
  );
}

/** Whether the chain was whole when it was last checked, and the way to check it now. */
function Chain({ pulse, round, refresh }: TabProps) {
  const t = useWordsOf(WORDS);
  const { language } = useSettings();
  const { act, busy, problem } = useDoing();
  const key = useRef(freshKey());
  const asked = useAsked(`chain ${round} ${jobsToken(pulse.now)}`, (signal) =>
    api.jobs({ kind: "audit-verify", limit: 10 }, signal),
  );
  const jobs = useFollowed(asked.data?.rows, refresh);
  const running = jobs?.find((job) => !isOver(job));
  const last = jobs?.find((job) => job.state === "done");
  const failed = jobs?.[0]?.state === "failed" ? jobs[0] : undefined;
  useEffect(() => {
    if (!running) key.current = freshKey();
  }, [running]);
  const check = () =>
    act(async () => {
      await api.askFor("audit-verify", {}, key.current);
      refresh();
    });
  return (
    <Panel
      title={t.chain}
      busy={asked.loading && !jobs}
      aside={
        <button
          type="button"
          className="button small"
          disabled={busy || running !== undefined}
          onClick={check}
        >
          {running ? t.chainChecking : t.check}
        </button>
      }
    >
      {asked.error && <ProblemNotice problem={asked.error} retry={asked.retry} />}
      {problem && <ProblemNotice problem={problem} retry={check} />}
      {!jobs && asked.loading && <Bones rows={1} />}
      {running && <Progress job={running} />}
      {failed && <p className="job-error">{failed.error}</p>}
      {jobs && !running && <Verdict job={last} language={language} />}
    </Panel>
  );
}

function Verdict({ job, language }: { job: api.Job | undefined; language: string }) {
  const t = useWordsOf(WORDS);
  if (!job) return <p className="nothing">{t.chainNever}</p>;
  const at = when(job.ended_at, language);
  const whole = job.result?.whole === true;
  const said = whole
    ? t.chainWhole(count(Number(job.result?.checked ?? 0), language), at)
    : t.chainBroken(count(Number(job.result?.rows ?? 0), language), at);
  return (
    <p className={whole ? "well" : "warned"}>
      <Icon name={whole ? "check" : "warn"} size={16} /> {said}
    </p>
  );
}
