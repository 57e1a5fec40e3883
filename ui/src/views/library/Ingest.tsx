import { type FormEvent, useRef, useState } from "react";
import type { Schemas } from "../../api/client";
import * as api from "../../api/library";
import { useAsked } from "../../lib/ask";
import { count } from "../../lib/format";
import { isOver } from "../../lib/jobs";
import { useSettings, useWordsOf } from "../../lib/settings";
import { Icon } from "../../parts/Icon";
import { Notice, ProblemNotice } from "../../parts/Notice";
import { jobsToken, lasting } from "./figures";
import type { TabProps } from "./LibraryView";
import { freshKey, type Pulse, useDoing, useFollowed } from "./live";
import { Bones, Command, Panel, Progress, Tag } from "./Parts";
import { RunList } from "./Runs";
import { includes } from "./state";
import { WORDS } from "./words";

/** How files come in: what arrives by itself, what is read just now, and what was. */
export function Ingest({ pulse, role, round, refresh }: TabProps) {
  const t = useWordsOf(WORDS);
  const operator = includes(role, "operator");
  const sources = useAsked(operator ? `sources ${round}` : null, api.sources);
  return (
    <>
      <Arriving pulse={pulse} sources={sources.data} />
      <Panel title={t.start} aside={operator && t.startText} busy={operator && sources.loading}>
        {!operator && <p className="nothing">{t.startNeeds}</p>}
        {sources.error && <ProblemNotice problem={sources.error} retry={sources.retry} />}
        {operator && sources.loading && !sources.data && <Bones rows={2} />}
        {sources.data && <StartForm roots={sources.data.roots} onStarted={refresh} />}
      </Panel>
      {operator && <Running pulse={pulse} round={round} refresh={refresh} />}
      <RunList title={t.ended} pulse={pulse} round={round} limit={25} />
    </>
  );
}

function Arriving({ pulse, sources }: { pulse: Pulse; sources: Schemas["Sources"] | undefined }) {
  const t = useWordsOf(WORDS);
  const { language } = useSettings();
  const { now, lastMinute } = pulse;
  const figure = (name: string, value: string | undefined, beside = "") => (
    <div>
      <dt>{name}</dt>
      <dd>{value ?? <span className="bone" />}</dd>
      <dd className="beside">{beside}</dd>
    </div>
  );
  const of = (name: string) => now && count(now.files[name] ?? 0, language);
  return (
    <Panel title={t.arriving}>
      <dl className="figures">
        {figure(
          t.waiting,
          now && count(now.waiting, language),
          now?.waiting ? t.oldest(lasting(now.oldest_seconds)) : "",
        )}
        {figure(t.outcomes.indexed ?? "", of("indexed"))}
        {figure(t.outcomes.linked ?? "", of("linked"))}
        {figure(t.outcomes.rejected ?? "", of("rejected"))}
        {figure(
          t.lastMinute,
          lastMinute === null ? "–" : `+${count(lastMinute, language)}`,
          lastMinute === null ? t.notYet : "",
        )}
      </dl>
      <p className="panel-note">
        {sources ? (sources.receives ? t.receives : t.receivesNot) : " "}
      </p>
    </Panel>
  );
}

/** A path below a root; what was typed stays below it. */
const below = (root: string, folder: string): string =>
  folder ? `${root.replace(/\/+$/, "")}/${folder.replace(/^\/+/, "")}` : root;

function StartForm({ roots, onStarted }: { roots: readonly string[]; onStarted: () => void }) {
  const t = useWordsOf(WORDS);
  const [root, setRoot] = useState(roots[0] ?? "");
  const [folder, setFolder] = useState("");
  const [retry, setRetry] = useState(false);
  const { act, busy, problem } = useDoing();
  const key = useRef(freshKey());
  function submit(event: FormEvent): void {
    event.preventDefault();
    act(async () => {
      const paths = [below(root, folder.trim())];
      // With the same key the same job is found, should the answer have got lost.
      await api.askFor("index", { paths, retry_rejected: retry }, key.current);
      key.current = freshKey();
      setFolder("");
      onStarted();
    });
  }
  if (!roots.length)
    return (
      <Notice kind="info" title={t.noRoots}>
        {t.noRootsDo} <Command words="syntopy index FOLDER" />
      </Notice>
    );
  return (
    <form className="line-form" onSubmit={submit}>
      <label className="root">
        {t.root}
        <select value={root} onChange={(event) => setRoot(event.target.value)}>
          {roots.map((each) => (
            <option key={each}>{each}</option>
          ))}
        </select>
      </label>
      <label className="wide">
        {t.folder}
        <input
          id="index-folder"
          value={folder}
          placeholder={t.folderHint}
          spellCheck={false}
          autoComplete="off"
          onChange={(event) => {
            setFolder(event.target.value);
            key.current = freshKey();
          }}
        />
      </label>
      <label className="tick">
        <input
          type="checkbox"
          checked={retry}
          onChange={(event) => {
            setRetry(event.target.checked);
            key.current = freshKey();
          }}
        />
        {t.retryRejected}
      </label>
      <button type="submit" className="button accent" disabled={busy}>
        <Icon name="play" size={15} /> {t.begin}
      </button>
      {problem && <ProblemNotice problem={problem} />}
    </form>
  );
}

/** Jobs that index: those that run or wait, and the newest that can go on. */
function Running({ pulse, round, refresh }: Pick<TabProps, "pulse" | "round" | "refresh">) {
  const t = useWordsOf(WORDS);
  const asked = useAsked(`index jobs ${round} ${jobsToken(pulse.now)}`, (signal) =>
    api.jobs({ kind: "index", limit: 20 }, signal),
  );
  const jobs = useFollowed(asked.data?.rows, refresh);
  const last = jobs?.[0];
  const shown = jobs?.filter((job) => !isOver(job)) ?? [];
  const stopped = last && isOver(last) && last.state !== "done" ? last : undefined;
  return (
    <Panel title={t.running} busy={asked.loading && !jobs}>
      {asked.error && <ProblemNotice problem={asked.error} retry={asked.retry} />}
      {!jobs && asked.loading && <Bones rows={1} />}
      {jobs && !shown.length && !stopped && <p className="nothing">{t.noneRunning}</p>}
      <ul className="running">
        {shown.map((job) => (
          <RunningJob key={job.id} job={job} onDone={refresh} />
        ))}
        {stopped && <RunningJob key={stopped.id} job={stopped} onDone={refresh} />}
      </ul>
    </Panel>
  );
}

function RunningJob({ job, onDone }: { job: api.Job; onDone: () => void }) {
  const t = useWordsOf(WORDS);
  const { act, busy, problem } = useDoing();
  const over = isOver(job);
  const stop = () =>
    act(async () => {
      await api.cancelJob(job.id);
      onDone();
    });
  const resume = () =>
    act(async () => {
      await api.askFor(job.kind, job.parameters, `after-${job.id}`);
      onDone();
    });
  const paths = Array.isArray(job.parameters.paths) ? job.parameters.paths.join(", ") : "";
  return (
    <li>
      <div className="running-what">
        <Tag
          state={job.state}
          said={job.cancelled && !over ? t.stopping : (t.jobStates[job.state] ?? job.state)}
        />
        <code>{paths}</code>
        <span className="aside">{t.by(job.asked_by)}</span>
      </div>
      <Progress job={job} />
      {over ? (
        <button
          type="button"
          className="button small"
          data-row
          disabled={busy}
          title={t.resumeHint}
          onClick={resume}
        >
          <Icon name="play" size={14} /> {t.resume}
        </button>
      ) : (
        <button
          type="button"
          className="button small"
          data-row
          disabled={busy || job.cancelled}
          onClick={stop}
        >
          {t.stop}
        </button>
      )}
      {job.error && <p className="job-error">{job.error}</p>}
      {problem && <ProblemNotice problem={problem} />}
    </li>
  );
}
