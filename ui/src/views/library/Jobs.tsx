import * as api from "../../api/library";
import { useAsked } from "../../lib/ask";
import { plain } from "../../lib/format";
import { isOver } from "../../lib/jobs";
import { useSettings, useWordsOf } from "../../lib/settings";
import { Notice, ProblemNotice } from "../../parts/Notice";
import { between, inWords, jobsToken, lasting, saysSomething, when } from "./figures";
import type { TabProps } from "./LibraryView";
import { useDoing, useFollowed } from "./live";
import { Bones, Facts, More, Panel, Progress, Table, Tag } from "./Parts";
import { JOB_STATES } from "./state";
import { WORDS } from "./words";

/** Everything long that was asked for: how far it is, who asked, how it ended. */
export function Jobs(props: TabProps) {
  const { state, update, pulse, round, refresh } = props;
  const t = useWordsOf(WORDS);
  const { n, kind } = state;
  const wanted = { limit: n, kind, state: state.state };
  const key = `jobs ${JSON.stringify(wanted)} ${round} ${jobsToken(pulse.now)}`;
  const asked = useAsked(key, (signal) => api.jobs(wanted, signal));
  const jobs = useFollowed(asked.data?.rows, refresh);
  return (
    <Panel title={t.tabs.jobs ?? ""} aside={<Filters {...props} />} busy={asked.loading && !jobs}>
      {asked.error && <ProblemNotice problem={asked.error} retry={asked.retry} />}
      {!jobs && asked.loading && <Bones rows={8} />}
      {jobs?.length === 0 && (
        <Notice kind="info" title={t.jobsNone}>
          {t.jobsNoneDo}
        </Notice>
      )}
      {state.job && jobs && !jobs.some((job) => job.id === state.job) && <Other {...props} />}
      {jobs && jobs.length > 0 && (
        <div className={asked.loading ? "stale" : undefined}>
          <Table label={t.tabs.jobs ?? ""} columns={t.jobCols}>
            {jobs.map((job) => (
              <JobRow key={job.id} {...props} job={job} />
            ))}
          </Table>
          <More
            shown={jobs.length}
            more={asked.data?.cursor !== ""}
            n={n}
            onMore={(more) => update({ n: more }, "replace")}
          />
        </div>
      )}
    </Panel>
  );
}

function Filters({ state, update, round }: TabProps) {
  const t = useWordsOf(WORDS);
  const asked = useAsked(`kinds ${round}`, api.kinds);
  return (
    <>
      <select
        aria-label={t.state}
        value={state.state}
        onChange={(event) => update({ state: event.target.value, job: "", n: 50 })}
      >
        <option value="">{t.anyState}</option>
        {JOB_STATES.map((each) => (
          <option key={each} value={each}>
            {t.jobStates[each]}
          </option>
        ))}
      </select>
      <select
        aria-label={t.kind}
        value={state.kind}
        onChange={(event) => update({ kind: event.target.value, job: "", n: 50 })}
      >
        <option value="">{t.anyKind}</option>
        {asked.data?.map((each) => (
          <option key={each.name} value={each.name}>
            {each.name}
          </option>
        ))}
        {state.kind && !asked.data?.some((each) => each.name === state.kind) && (
          <option value={state.kind}>{state.kind}</option>
        )}
      </select>
    </>
  );
}

function JobRow({ job, state, update, refresh }: TabProps & { job: api.Job }) {
  const t = useWordsOf(WORDS);
  const { language } = useSettings();
  const open = state.job === job.id;
  return (
    <>
      <tr className={open ? "open" : undefined}>
        <td data-of={t.jobCols[0]}>
          <button
            type="button"
            className="row-open"
            data-row
            aria-expanded={open}
            onClick={() => update({ job: open ? "" : job.id })}
          >
            {job.kind}
          </button>
        </td>
        <td data-of={t.jobCols[1]}>
          <Tag
            state={job.state}
            said={
              job.cancelled && !isOver(job) ? t.stopping : (t.jobStates[job.state] ?? job.state)
            }
          />
        </td>
        <td data-of={t.jobCols[2]} className="job-far">
          {isOver(job) || job.state === "queued" ? <Short job={job} /> : <Progress job={job} />}
        </td>
        <td data-of={t.jobCols[3]} className="nowrap">
          {when(job.created_at, language)}
        </td>
        <td data-of={t.jobCols[4]}>{job.asked_by}</td>
      </tr>
      {open && (
        <tr className="detail">
          <td colSpan={5}>
            <Details job={job} onDone={refresh} />
          </td>
        </tr>
      )}
    </>
  );
}

/** How it ended, in a line. */
function Short({ job }: { job: api.Job }) {
  const t = useWordsOf(WORDS);
  if (job.error) return <span className="job-error">{job.error}</span>;
  if (!isOver(job)) return job.what || "–";
  return job.started_at ? t.took(lasting(between(job.started_at, job.ended_at))) : "–";
}

/** A job of the address that is not among those listed. */
function Other(props: TabProps) {
  const { state, round, pulse, refresh } = props;
  const t = useWordsOf(WORDS);
  const key = `job ${state.job} ${round} ${jobsToken(pulse.now)}`;
  const asked = useAsked(key, (signal) => api.job(state.job, signal));
  const [job] = useFollowed(asked.data && [asked.data], refresh) ?? [];
  if (asked.error?.status === 404 || asked.error?.status === 403)
    return <Notice kind="info" title={t.jobGone} />;
  if (asked.error) return <ProblemNotice problem={asked.error} retry={asked.retry} />;
  if (!job) return <Bones rows={2} />;
  return (
    <div className="other-job">
      <h3>{job.kind}</h3>
      <Details job={job} onDone={refresh} />
    </div>
  );
}

function Details({ job, onDone }: { job: api.Job; onDone: () => void }) {
  const t = useWordsOf(WORDS);
  const { act, busy, problem } = useDoing();
  const stop = () =>
    act(async () => {
      await api.cancelJob(job.id);
      onDone();
    });
  const asked = Object.entries(job.parameters).filter(([, value]) => saysSomething(value));
  const came = Object.entries(job.result ?? {}).filter(([, value]) => saysSomething(value));
  return (
    <div className="job-details">
      <div>
        <h3>{t.parameters}</h3>
        <Facts of={asked.map(([name, value]) => [plain(name), value])} />
      </div>
      <div>
        <h3>{t.result}</h3>
        {job.result ? (
          <Facts of={came.map(([name, value]) => [plain(name), value])} />
        ) : (
          <p className="nothing">{job.error || "–"}</p>
        )}
        {job.code && (
          <p className="panel-note">
            <code>{job.code}</code>
            {job.attempts > 1 && ` · ${t.attempt(job.attempts)}`}
          </p>
        )}
        {!isOver(job) && (
          <button
            type="button"
            className="button small"
            disabled={busy || job.cancelled}
            onClick={stop}
          >
            {job.cancelled ? t.stopping : t.stop}
          </button>
        )}
        {problem && <ProblemNotice problem={problem} retry={stop} />}
      </div>
      {job.state === "done" && Number(job.result?.rows ?? 0) > 0 && <ResultRows job={job} />}
    </div>
  );
}

function ResultRows({ job }: { job: api.Job }) {
  const t = useWordsOf(WORDS);
  const asked = useAsked(`rows of ${job.id}`, (signal) => api.jobRows(job.id, signal));
  return (
    <div className="job-rows">
      <h3>{t.found}</h3>
      {asked.error && <ProblemNotice problem={asked.error} retry={asked.retry} />}
      {asked.loading && !asked.data && <Bones rows={3} />}
      <ol>
        {asked.data?.rows.map((row, at) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: rows of a result never change
          <li key={at}>{inWords(row)}</li>
        ))}
      </ol>
    </div>
  );
}
