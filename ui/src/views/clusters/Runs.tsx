import type { Job, Run } from "../../api/clusters";
import { count } from "../../lib/format";
import { useSettings, useWords, useWordsOf } from "../../lib/settings";
import { Icon } from "../../parts/Icon";
import { Notice, ProblemNotice } from "../../parts/Notice";
import { isOpen, useMaking, useRuns } from "./asking";
import { day, part } from "./names";
import { hrefOf } from "./state";
import { WORDS } from "./words";

/** All clusterings, the newest first, and those that are being made. */
export function Runs({ onNew }: { onNew: () => void }) {
  const t = useWords();
  const w = useWordsOf(WORDS);
  const asked = useRuns();
  const making = useMaking();
  const underWay = (making.data ?? []).filter(isOpen);
  const create = (
    <button type="button" className="button accent" title="n" onClick={onNew}>
      <Icon name="plus" size={16} /> {w.create}
    </button>
  );
  return (
    <>
      <div className="heading">
        <div>
          <h1>{w.title}</h1>
          <p className="lead">{w.intro}</p>
        </div>
        {asked.data?.length ? create : null}
      </div>
      {underWay.length > 0 && <UnderWay jobs={underWay} />}
      {asked.error && <ProblemNotice problem={asked.error} retry={asked.retry} />}
      {asked.data?.length === 0 && (
        <Notice kind="info" title={w.none} actions={create}>
          {w.noneDo}
        </Notice>
      )}
      {!asked.data && asked.loading && <Bones />}
      {asked.data && asked.data.length > 0 && (
        <ol className="runs" aria-busy={asked.loading}>
          {asked.data.toReversed().map((run) => (
            <RunRow key={run.name} run={run} />
          ))}
        </ol>
      )}
      <footer>{t.research}</footer>
    </>
  );
}

function RunRow({ run }: { run: Run }) {
  const w = useWordsOf(WORDS);
  const { language } = useSettings();
  const figure = (name: string, said: string) => (
    <div>
      <dt>{name}</dt>
      <dd>{said}</dd>
    </div>
  );
  return (
    <li className="hit run">
      <div className="run-name">
        <a data-hit={run.name} href={hrefOf({ run: run.name })}>
          {run.name}
        </a>
        <p>
          {run.method} · {run.encoder}
          {run.filter && (
            <>
              {" "}
              · {w.filter} <code>{run.filter}</code>
            </>
          )}
        </p>
      </div>
      <dl className="figures">
        {figure(w.clusters, count(run.clusters, language))}
        {figure(w.items, count(run.left, language))}
        {figure(w.noise, run.noise ? part(run.noise / Math.max(1, run.left)) : "0")}
        {figure(w.made, day(run.created_at, language))}
      </dl>
    </li>
  );
}

function UnderWay({ jobs }: { jobs: Job[] }) {
  const w = useWordsOf(WORDS);
  return (
    <section className="under-way" aria-label={w.underWay}>
      <h2>{w.underWay}</h2>
      <ul>
        {jobs.map((job) => (
          <li key={job.id}>
            <a href={hrefOf({ job: job.id })}>{String(job.parameters.name ?? job.kind)}</a>{" "}
            <span>{job.state === "queued" ? w.jobQueued : job.what || w.jobRunning}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Bones() {
  return (
    <ol className="runs" aria-busy="true">
      {Array.from({ length: 3 }, (_, at) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: they are all alike
        <li key={at} className="hit run" aria-hidden="true">
          <span className="bone line" />
        </li>
      ))}
    </ol>
  );
}
