import { useState } from "react";
import type { Job } from "../../api/qa";
import * as api from "../../api/qa";
import { useAsked } from "../../lib/ask";
import { isOver } from "../../lib/jobs";
import { useKeys } from "../../lib/keys";
import { useSettings, useWordsOf } from "../../lib/settings";
import { Icon } from "../../parts/Icon";
import { Notice, ProblemNotice } from "../../parts/Notice";
import { DriftReport } from "./DriftReport";
import { isSummary, reportOf } from "./drift";
import { DriftForm } from "./Forms";
import { sentence, when } from "./figures";
import { useJobs } from "./following";
import { JobLine } from "./JobLine";
import type { PlaceProps } from "./QaView";
import { WORDS } from "./words";

/** Whether what arrives has changed against the reference, window by window. */
export function Drift(place: PlaceProps) {
  const { state, reference, update } = place;
  const w = useWordsOf(WORDS);
  const { language } = useSettings();
  const [asking, setAsking] = useState(false);
  const jobs = useJobs("drift", reference.name);
  const done = jobs.data?.filter((job) => job.state === "done") ?? [];
  const newest = jobs.data?.[0];
  const shown = done.find((job) => job.id === state.job) ?? done[0];
  useKeys({ n: () => setAsking(true) });

  if (jobs.error?.status === 403)
    return (
      <Notice kind="info" title={w.forCurators}>
        {w.forCuratorsDo}
      </Notice>
    );
  return (
    <div className="drift" aria-busy={jobs.loading && !jobs.data}>
      <div className="qa-bar">
        <h2>{w.driftTitle}</h2>
        {done.length > 1 && shown && (
          <label className="pick">
            {w.reports}
            <select value={shown.id} onChange={(event) => update({ job: event.target.value })}>
              {done.map((job) => (
                <option key={job.id} value={job.id}>
                  {when(job.created_at, language)} · {titleOf(job, w.byFields, w.byNothing)}
                </option>
              ))}
            </select>
          </label>
        )}
        <button type="button" className="button" onClick={() => setAsking(true)}>
          <Icon name="plus" size={16} /> {w.newDrift} <kbd>n</kbd>
        </button>
      </div>
      {jobs.error && <ProblemNotice problem={jobs.error} retry={jobs.retry} />}
      {newest && newest.id !== shown?.id && (!isOver(newest) || newest.state === "failed") && (
        <JobLine
          key={newest.id}
          job={newest}
          title={w.newDrift}
          onEnd={(job) => job.state === "done" && update({ job: job.id })}
        />
      )}
      {!jobs.data && jobs.loading && <div className="coming-view bone" />}
      {jobs.data && !shown && (
        <Notice
          kind="info"
          title={w.noDrift}
          actions={
            <button type="button" className="button accent" onClick={() => setAsking(true)}>
              {w.newDrift}
            </button>
          }
        >
          {w.noDriftDo}
        </Notice>
      )}
      {shown && <Shown key={shown.id} job={shown} {...place} />}
      <Standing reference={reference.name} />
      {asking && (
        <DriftForm reference={reference} filter={state.filter} onClose={() => setAsking(false)} />
      )}
    </div>
  );
}

function titleOf(job: Job, fields: Record<string, string>, nothing: string): string {
  const by = String(job.parameters.by ?? "");
  return by ? (fields[by] ?? by) : nothing;
}

function Shown({ job, ...place }: PlaceProps & { job: Job }) {
  const rows = useAsked(`rows ${job.id}`, (signal) => api.rowsOf(job.id, signal));
  if (rows.error) return <ProblemNotice problem={rows.error} retry={rows.retry} />;
  if (!rows.data) return <div className="coming-view bone" />;
  const summary = isSummary(job.result) ? job.result : undefined;
  if (!summary) return null;
  return <DriftReport report={reportOf(rows.data)} summary={summary} {...place} />;
}

/** Where the watch stands, which goes on as studies arrive. */
function Standing({ reference }: { reference: string }) {
  const w = useWordsOf(WORDS);
  const found = useAsked(`standing ${reference}`, (signal) => api.standings(reference, signal));
  if (found.error) return <ProblemNotice problem={found.error} retry={found.retry} />;
  return (
    <section className="standing">
      <h3>{w.standing}</h3>
      {found.data?.length === 0 && (
        <p className="none">{w.noStanding.replace("NAME", reference)}</p>
      )}
      {found.data && found.data.length > 0 && (
        <div className="scroll-x">
          <table className="figures">
            <thead>
              <tr>
                <td />
                <th scope="col">{w.level}</th>
                <th scope="col">{w.limit}</th>
                <th scope="col">{w.alarm}</th>
                <th scope="col">{w.window}</th>
              </tr>
            </thead>
            <tbody>
              {found.data.map((each) => (
                <tr key={each.group}>
                  <th scope="row">{each.group === "all" ? w.all : each.group}</th>
                  <td>{each.moving_average.toFixed(2)}</td>
                  <td>±{each.limit.toFixed(2)}</td>
                  <td className={each.alarm ? "odd" : ""}>{each.alarm ? w.alarmYes : "–"}</td>
                  <td>{sentence(w.standingText(each.windows, each.waiting))}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}
