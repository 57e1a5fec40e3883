import "../../style/viewer.css";
import { useEffect, useMemo, useState } from "react";
import * as client from "../../api/client";
import * as api from "../../api/viewer";
import { useAsked } from "../../lib/ask";
import { parts, shortUid, who } from "../../lib/format";
import { useKeySheet, useKeys } from "../../lib/keys";
import { formatHash, go } from "../../lib/route";
import { useWords, useWordsOf } from "../../lib/settings";
import { Icon } from "../../parts/Icon";
import { Notice, ProblemNotice } from "../../parts/Notice";
import { numberOf } from "./dataset";
import type { Hindrance } from "./drawing";
import { useHeld } from "./held";
import { imagesOf, type Series, SeriesList } from "./SeriesList";
import { Served } from "./Served";
import { Stage } from "./Stage";
import { type Stack, stackOf } from "./stack";
import type { ViewerState } from "./state";
import { WORDS } from "./words";

/** A whole study, from its stored values where they can be had. */
export function ViewerView({ params }: { params: URLSearchParams }) {
  const w = useWordsOf(WORDS);
  const t = useWords();
  const { state, change, goToSeries } = useHeld(params);
  const asked = useAsked(state.study ? `study ${state.study}` : null, (signal) =>
    client.study(state.study, signal),
  );
  const study = asked.data?.study_instance_uid === state.study ? asked.data : undefined;
  // What is words alone comes last.
  const all = study?.series.toSorted(
    (one, other) => Number(!imagesOf(one)) - Number(!imagesOf(other)),
  );
  const chosen = all?.find((each) => each.series_instance_uid === state.series) ?? all?.[0];
  const search = { view: "search", params: new URLSearchParams({ study: state.study }) };

  useKeySheet(w.sheet);
  const step = (by: number) => {
    const at = all && chosen ? all.indexOf(chosen) : -1;
    const next = all?.[at + by];
    if (next) goToSeries(next.series_instance_uid);
  };
  useKeys({
    j: () => step(1),
    k: () => step(-1),
    s: () => state.study && go(search),
  });

  if (!state.study) return <Nothing />;
  return (
    <div className="view-study">
      <header className="viewer-head">
        <div>
          <h1>{study ? study.description || shortUid(state.study) : w.title}</h1>
          <p>
            {study &&
              parts(
                who(study.sex, study.age_years),
                study.study_date,
                chosen && parts(chosen.modality, chosen.body_part, chosen.description),
              )}
          </p>
        </div>
        <a className="button" href={formatHash(search)} title="s">
          <Icon name="search" size={16} /> <span>{w.back}</span>
        </a>
      </header>
      <SeriesList
        series={all}
        chosen={chosen?.series_instance_uid ?? ""}
        onChoose={(uid) => uid !== chosen?.series_instance_uid && goToSeries(uid)}
      />
      <main id="main" tabIndex={-1} className="viewer-main">
        {asked.error && <ProblemNotice problem={asked.error} retry={asked.retry} />}
        {!asked.error && (
          <SeriesView
            key={chosen?.series_instance_uid ?? ""}
            study={state.study}
            series={chosen}
            reports={study?.reports ?? []}
            state={state}
            onChange={change}
          />
        )}
        <footer>{t.research}</footer>
      </main>
    </div>
  );
}

interface SeriesViewProps {
  study: string;
  series: Series | undefined;
  reports: readonly string[];
  state: ViewerState;
  onChange: (change: Partial<ViewerState>) => void;
}

/** One series: drawn here from its originals, or by the service, with the reason why. */
function SeriesView({ study, series, reports, state, onChange }: SeriesViewProps) {
  const w = useWordsOf(WORDS);
  const [hindrance, setHindrance] = useState<Hindrance | undefined>();
  const uid = series?.series_instance_uid;
  const asked = useAsked(uid ? `headers ${study} ${uid}` : null, (signal) =>
    api.headers(study, uid ?? "", signal),
  );
  const stack = useMemo(() => asked.data && made(asked.data), [asked.data]);
  const { error } = asked;
  const status = error?.status ?? 0;
  const why =
    (hindrance === "browser" && w.noBrowser) ||
    (hindrance === "pixels" && w.noPixels) ||
    (status === 406 && w.notDicom) ||
    (status === 410 && w.gone);

  if (series && why)
    return <Served series={series} why={why} at={state.at} onAt={(at) => onChange({ at })} />;
  if (error) return <ProblemNotice problem={error} retry={asked.retry} />;
  if (stack && !stack.frames.length) return <Words reports={reports} />;
  return (
    <>
      {asked.data && asked.data.leftOut > 0 && (
        <Notice kind="warn" title={w.leftOut(asked.data.leftOut)} />
      )}
      <Stage stack={stack} state={state} onChange={onChange} onHindrance={setHindrance} />
    </>
  );
}

/** A series without pixels: what the study's reports say is all that there is to read. */
function Words({ reports }: { reports: readonly string[] }) {
  const t = useWords();
  const w = useWordsOf(WORDS);
  return (
    <div className="viewer-words">
      <Notice kind="info" title={w.nothing}>
        {w.nothingText}
      </Notice>
      {reports.length > 0 && <h2>{t.report}</h2>}
      {reports.map((text) => (
        <p key={text} className="report">
          {text}
        </p>
      ))}
    </div>
  );
}

function made({ instances }: api.Headers): Stack {
  const [first = {}] = instances;
  const said = numberOf([first], "00082144") ?? numberOf([first], "00180040");
  const milliseconds = numberOf([first], "00181063");
  return stackOf(instances, said ?? (milliseconds ? 1000 / milliseconds : undefined));
}

function Nothing() {
  const w = useWordsOf(WORDS);
  useEffect(() => document.getElementById("main")?.focus(), []);
  return (
    <main id="main" tabIndex={-1} className="viewer-none">
      <h1>{w.none}</h1>
      <p>{w.noneText}</p>
      <a className="button accent" href="#/search">
        {w.toSearch}
      </a>
    </main>
  );
}
