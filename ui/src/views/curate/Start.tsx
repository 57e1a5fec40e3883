import { useState } from "react";
import * as api from "../../api/curate";
import { useAsked } from "../../lib/ask";
import { count } from "../../lib/format";
import { isOver } from "../../lib/jobs";
import { useSettings, useWordsOf } from "../../lib/settings";
import { Icon } from "../../parts/Icon";
import { Notice, ProblemNotice } from "../../parts/Notice";
import type { Update } from "./CurateView";
import { FindForm } from "./FindForm";
import { useFollowed } from "./following";
import { formatCurate, START } from "./state";
import { jobKind, labelOf, ofQa, TASKS, type Task, taskOf } from "./tasks";
import { WORDS } from "./words";

/** What can be looked for, when it last was, and how much of it is decided. */
export function Start({ reader, update }: { reader: boolean; update: Update }) {
  const t = useWordsOf(WORDS);
  const [round, setRound] = useState(() => Date.now()); // each visit asks anew
  const queues = useAsked(`queues ${round}`, api.queues);
  const rows = queues.data;
  const others = rows?.filter((each) => !taskOf(each.queue) && !ofQa(each.queue)) ?? [];
  return (
    <>
      <header className="curate-head">
        <h1>{t.tasksTitle}</h1>
        <p>{t.intro}</p>
      </header>
      {queues.error && <ProblemNotice problem={queues.error} retry={queues.retry} />}
      <div className="tasks" aria-busy={!rows && queues.loading}>
        {TASKS.map((task) => (
          <Card
            key={task}
            task={task}
            queues={rows?.filter((each) => taskOf(each.queue) === task)}
            reader={reader}
            update={update}
            onFound={() => setRound(Date.now())}
          />
        ))}
        {others.length > 0 && (
          <section className="task">
            <h2>{t.otherQueues}</h2>
            {others.map((each) => (
              <QueueRow key={each.queue} counts={each} name={each.queue} update={update} />
            ))}
          </section>
        )}
      </div>
    </>
  );
}

interface CardProps {
  task: Task;
  queues: api.QueueCounts[] | undefined;
  reader: boolean;
  update: Update;
  onFound: () => void;
}

function Card({ task, queues, reader, update, onFound }: CardProps) {
  const t = useWordsOf(WORDS);
  const [asking, setAsking] = useState(false);
  const [begun, setBegun] = useState<api.Job | undefined>();
  const newest = useAsked(reader ? null : `job ${task} ${begun?.id ?? ""}`, (signal) =>
    api.newestJob(jobKind(task), signal),
  );
  const job = useFollowed(begun ?? newest.data, onFound);
  const running = job !== null && !isOver(job);
  return (
    <section className="task" aria-labelledby={`task-${task}`}>
      <h2 id={`task-${task}`}>{t.tasks[task]}</h2>
      <p className="task-finds">{t.finds[task]}</p>
      <div className="task-queues">
        {queues?.map((each) => (
          <QueueRow
            key={each.queue}
            counts={each}
            name={labelOf(each.queue) ? t.saidOf(labelOf(each.queue)) : ""}
            update={update}
          />
        ))}
        {queues?.length === 0 && <p className="none">{t.noQueue}</p>}
        {!queues && <span className="bone queue-bone" />}
      </div>
      {job && <JobState job={job} onChange={setBegun} />}
      {!reader && (
        <div className="task-acts">
          <button
            type="button"
            className={`button${queues?.length === 0 ? " accent" : ""}`}
            disabled={running}
            onClick={() => setAsking(true)}
          >
            <Icon name="search" size={16} /> {job ? t.findAgain : t.find}
          </button>
        </div>
      )}
      {asking && (
        <FindForm
          task={task}
          onClose={() => setAsking(false)}
          onAsked={(asked) => {
            setBegun(asked);
            setAsking(false);
          }}
        />
      )}
    </section>
  );
}

/** How far a job is, or how it ended. */
function JobState({ job, onChange }: { job: api.Job; onChange: (job: api.Job) => void }) {
  const t = useWordsOf(WORDS);
  const { language } = useSettings();
  if (!isOver(job))
    return (
      <div className="job" role="status">
        <div className="job-words">
          <span>{job.cancelled ? t.cancelling : job.what || t.waits}</span>
          <button
            type="button"
            className="button small quiet"
            disabled={job.cancelled}
            onClick={() => void api.cancelJob(job.id).then(onChange, () => undefined)}
          >
            {t.cancel}
          </button>
        </div>
        <progress
          aria-label={job.what || t.waits}
          max={job.total || 1}
          value={job.total ? job.done : undefined}
        />
      </div>
    );
  if (job.state === "failed")
    return (
      <Notice kind="warn" title={t.failedRun}>
        {job.error}
      </Notice>
    );
  const when = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" });
  const { added, known } = (job.result ?? {}) as { added?: number; known?: number };
  return (
    <p className="job-ended">
      {t.lastRun(when.format(new Date(job.ended_at || job.updated_at)))}
      {job.state === "stopped" && ` · ${t.stoppedRun}`}
      {added !== undefined && known !== undefined && (
        <> · {t.foundRun(count(added, language), count(known, language))}</>
      )}
    </p>
  );
}

interface QueueRowProps {
  counts: api.QueueCounts;
  name: string;
  update: Update;
}

function QueueRow({ counts, name, update }: QueueRowProps) {
  const t = useWordsOf(WORDS);
  const { language } = useSettings();
  const { queue, open } = counts;
  const address = (list: "" | "all") => `#/curate?${formatCurate({ ...START, queue, list })}`;
  return (
    <div className="queue-row">
      {name && <span className="queue-name">{name}</span>}
      <Shares counts={counts} />
      <div className="queue-acts">
        <a
          className={`button${open ? " accent" : ""}`}
          href={open ? address("") : address("all")}
          onClick={(event) => {
            event.preventDefault();
            update({ queue, at: "", list: open ? "" : "all" });
          }}
        >
          {open ? (
            <>
              <Icon name="play" size={14} /> {t.work} · {t.open(count(open, language))}
            </>
          ) : (
            t.allDone
          )}
          <span className="sr">: {t.ofQueue(queue)}</span>
        </a>
        {open > 0 && (
          <a className="button quiet" href={address("all")}>
            {t.decisions}
            <span className="sr">: {t.ofQueue(queue)}</span>
          </a>
        )}
      </div>
    </div>
  );
}

/** The parts of a queue as a bar, and in figures. */
export function Shares({ counts }: { counts: api.QueueCounts }) {
  const t = useWordsOf(WORDS);
  const { language } = useSettings();
  const all = counts.open + counts.accept + counts.reject + counts.skip;
  const figures = (["accept", "reject", "skip"] as const).map(
    (each) => [each, counts[each]] as const,
  );
  return (
    <div className="shares">
      <div className="shares-bar" aria-hidden="true">
        {figures.map(([each, n]) => (
          <span key={each} className={`is-${each}`} style={{ flexGrow: n }} />
        ))}
        <span style={{ flexGrow: counts.open || (all ? 0 : 1) }} />
      </div>
      <p className="shares-words">
        {figures.map(([each, n]) => (
          <span key={each} className={`is-${each}`}>
            {count(n, language)} {t.verdicts[each]}
          </span>
        ))}
        <span>{t.open(count(counts.open, language))}</span>
      </p>
    </div>
  );
}
