import * as api from "../../api/library";
import { useAsked } from "../../lib/ask";
import { count } from "../../lib/format";
import { useSettings, useWordsOf } from "../../lib/settings";
import { Notice, ProblemNotice } from "../../parts/Notice";
import { between, lasting, when } from "./figures";
import type { Pulse } from "./live";
import { Bones, Panel, Table, Tag } from "./Parts";
import { WORDS } from "./words";

interface RunsProps {
  title: string;
  pulse: Pulse;
  round: number;
  limit: number;
}

/** Runs of indexing, however they were started, the newest first. */
export function RunList({ title, pulse, round, limit }: RunsProps) {
  const t = useWordsOf(WORDS);
  const { language } = useSettings();
  const token = `${pulse.now?.last_run} ${JSON.stringify(pulse.now?.files)}`;
  const asked = useAsked(`runs ${limit} ${round} ${token}`, (signal) => api.runs(limit, signal));
  const rows = asked.data?.rows;
  return (
    <Panel title={title} busy={asked.loading && !rows}>
      {asked.error && <ProblemNotice problem={asked.error} retry={asked.retry} />}
      {!rows && asked.loading && <Bones rows={4} />}
      {rows?.length === 0 && (
        <Notice kind="info" title={t.cameNone}>
          {t.cameNoneDo}
        </Notice>
      )}
      {rows && rows.length > 0 && (
        <Table label={title} columns={t.runCols} numbers={[2, 3, 4]}>
          {rows.map((run, at) => (
            <tr key={run.number}>
              <td data-of={t.runCols[0]}>{when(run.started_at, language)}</td>
              <td data-of={t.runCols[1]}>
                <RunTag run={run} newest={at === 0} />
              </td>
              <td data-of={t.runCols[2]} className="number">
                {run.ended_at ? lasting(between(run.started_at, run.ended_at)) : "–"}
              </td>
              <td data-of={t.runCols[3]} className="number">
                {count(run.files, language)}
              </td>
              <td data-of={t.runCols[4]} className="number">
                {count(run.items, language)}
              </td>
              <td data-of={t.runCols[5]}>
                <Came outcomes={run.outcomes} />
              </td>
            </tr>
          ))}
        </Table>
      )}
    </Panel>
  );
}

/** One run writes at a time: an older one that never ended was broken off. */
function RunTag({ run, newest }: { run: api.Run; newest: boolean }) {
  const t = useWordsOf(WORDS);
  const dead = run.state === "running" && !newest;
  return (
    <Tag
      state={dead ? "stopped" : run.state}
      said={dead ? t.dead : (t.jobStates[run.state] ?? run.state)}
    />
  );
}

function Came({ outcomes }: { outcomes: Readonly<Record<string, number>> }) {
  const t = useWordsOf(WORDS);
  const { language } = useSettings();
  const said = Object.entries(outcomes)
    .filter(([, number]) => number > 0)
    .map(([name, number]) => `${count(number, language)} ${t.outcomes[name] ?? name}`);
  return said.join(" · ") || "–";
}
