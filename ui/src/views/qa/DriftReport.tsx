import { useState } from "react";
import * as api from "../../api/qa";
import { useAsked } from "../../lib/ask";
import { formatHash } from "../../lib/route";
import { useWords, useWordsOf } from "../../lib/settings";
import { Notice } from "../../parts/Notice";
import { Segments } from "../../parts/Segments";
import { Thumb } from "../../parts/Thumb";
import { Chart } from "./Chart";
import { DriftTable } from "./DriftTable";
import {
  detectorsOf,
  furthest,
  groupsOf,
  onset,
  partOf,
  type Report,
  type Summary,
  watchOf,
} from "./drift";
import { sentence, share } from "./figures";
import type { PlaceProps } from "./QaView";
import { EMPTY, formatQa, type QaState } from "./state";
import { WORDS } from "./words";

interface DriftReportProps extends PlaceProps {
  report: Report;
  summary: Summary;
}

/** The answer in a sentence, a pair of charts for all and for each group, and the figures. */
export function DriftReport({ report, summary, state, reference, update }: DriftReportProps) {
  const w = useWordsOf(WORDS);
  const [at, setAt] = useState(report.windows.length - 1);
  const detectors = detectorsOf(report);
  const detector = detectors.find((each) => each === state.detector) ?? furthest(report);
  const groups = groupsOf(report);
  const names = report.windows.map((window) => window.first || window.name);
  const here = report.windows[at];
  return (
    <>
      <Notice kind={summary.changed ? "warn" : "info"} title={summary.headline} />
      <div className="qa-bar">
        <Segments
          label={w.detectorOf}
          value={detector}
          options={detectors.map((each) => [each, each])}
          onChange={(said) => update({ detector: said }, "replace")}
        />
        <label className="pick chart-slider">
          {w.window}
          <input
            type="range"
            min={0}
            max={Math.max(0, report.windows.length - 1)}
            value={at}
            aria-valuetext={here?.name}
            title={w.chartKeys}
            onChange={(event) => setAt(Number(event.target.value))}
          />
          <span className="chart-here">{here?.name}</span>
        </label>
      </div>
      {groups.map((group) => (
        <Group
          key={group}
          group={group}
          {...{ report, summary, detector, names, at, reference: reference.name }}
          onAt={setAt}
        />
      ))}
      <DriftTable report={report} detector={detector} />
      <details className="notes">
        <summary>{w.method}</summary>
        <ul>
          {[...summary.sentences, ...summary.notes].map((said) => (
            <li key={said}>{sentence(said)}</li>
          ))}
        </ul>
      </details>
    </>
  );
}

interface GroupProps {
  group: string;
  report: Report;
  summary: Summary;
  detector: string;
  names: string[];
  at: number;
  onAt: (at: number) => void;
  reference: string;
}

/** The share flagged and the moving average of a group, and where a change began. */
function Group({ group, report, summary, detector, names, at, onAt, reference }: GroupProps) {
  const t = useWords();
  const w = useWordsOf(WORDS);
  const parts = report.windows.map((window) => partOf(window, group));
  const watch = watchOf(report, group, detector);
  const change = onset(report, group);
  const part = parts[at];
  const step = watch?.steps[at];
  const flagged =
    part && part.flagged !== null
      ? `${share(part.flagged)}, ${share(part.low ?? 0)} – ${share(part.high ?? 1)}, ${t.patients(part.patients, String(part.patients))}`
      : w.nothingCame;
  const level = step
    ? `${step.level.toFixed(2)} (±${step.limit.toFixed(2)})${step.alarm ? `, ${w.alarmYes}` : ""}`
    : w.nothingCame;
  const alarms = parts.map((each) => each?.differs === true);
  return (
    <section className="drift-group">
      <header>
        <h3>{group || w.all}</h3>
        {change && (
          <span className="flag on">
            {w.beganIn(names[change.began] ?? "")} · {w.alarmIn(names[change.alarm] ?? "")}
          </span>
        )}
      </header>
      <div className="chart-pair">
        <Chart
          plotted={{
            title: w.shareFlagged,
            unit: `${w.percent}, ${w.band}; – – ${w.alarmRate} ${share(summary.alarm)}; ${w.markDiffers}`,
            values: parts.map((each) => each?.flagged ?? null),
            band: parts.map((each) =>
              each && each.low !== null && each.high !== null ? [each.low, each.high] : null,
            ),
            rule: summary.alarm,
            alarms,
            began: change?.began,
            said: (value) => `${Math.round(100 * value)}`,
          }}
          names={names}
          at={at}
          onAt={onAt}
          reading={flagged}
        />
        {watch && (
          <Chart
            plotted={{
              title: `${w.average}: ${detector}`,
              unit: `${w.averageUnit}; ${w.limits}; ${w.markAlarm}`,
              values: watch.steps.map((each) => each.level),
              limits: watch.steps.map((each) => each.limit),
              alarms: watch.steps.map((each) => each.alarm),
              began: change?.began,
              said: (value) => value.toFixed(Math.abs(value) < 10 ? 1 : 0),
            }}
            names={names}
            at={at}
            onAt={onAt}
            reading={level}
          />
        )}
      </div>
      {change && (
        <Began
          group={group}
          by={summary.by}
          reference={reference}
          first={report.windows[change.began]?.first ?? ""}
        />
      )}
    </section>
  );
}

interface BeganProps {
  group: string;
  by: string;
  reference: string;
  /** A date; empty where the windows have none. */
  first: string;
}

/** The flagged studies since a change is likely to have begun, the first of them first. */
function Began({ group, by, reference, first }: BeganProps) {
  const w = useWordsOf(WORDS);
  const since = first ? `study_date>=${first}` : "";
  const choices = group && by ? [{ field: by, value: group }] : [];
  const state: QaState = { ...EMPTY, reference, choices, filter: since };
  const filter = [since, ...choices.map(({ field, value }) => `${field}="${value}"`)]
    .filter(Boolean)
    .join(" and ");
  const found = useAsked(first ? `began ${reference} ${filter}` : null, (signal) =>
    api.scores(
      { reference, flagged: true, filter, sort: "p_value", cursor: "", limit: 200 },
      signal,
    ),
  );
  const rows = [...(found.data?.rows ?? [])]
    .sort((a, b) => a.study_date.localeCompare(b.study_date))
    .slice(0, 8);
  if (!rows.length) return null;
  return (
    <div className="began">
      <h4>
        {w.firstStudies}{" "}
        <a href={formatHash({ view: "qa", params: formatQa(state) })}>{w.showAll}</a>
      </h4>
      <ol className="nearest">
        {rows.map((row) => {
          const one = formatQa({ ...state, study: row.study_instance_uid });
          return (
            <li key={row.study_instance_uid}>
              <a
                href={formatHash({ view: "qa", params: one })}
                aria-label={`${w.flagged} ${row.study_date}`}
              >
                <Thumb id={row.items[0]?.item ?? ""} />
                <span>{row.study_date}</span>
              </a>
            </li>
          );
        })}
      </ol>
    </div>
  );
}
