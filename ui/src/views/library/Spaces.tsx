import { useRef, useState } from "react";
import { library as askLibrary } from "../../api/client";
import * as api from "../../api/library";
import { useAsked } from "../../lib/ask";
import { count, percent } from "../../lib/format";
import { useSettings, useWordsOf } from "../../lib/settings";
import { ProblemNotice } from "../../parts/Notice";
import { bytes, rowsToken, when } from "./figures";
import type { TabProps } from "./LibraryView";
import { freshKey, useDoing } from "./live";
import { Bones, Command, Panel, Table, Tag } from "./Parts";
import { includes } from "./state";
import { WORDS } from "./words";

/** What made the vectors, how far each covers the library, and how well it is found with them. */
export function Spaces(props: TabProps) {
  const { pulse, round } = props;
  const t = useWordsOf(WORDS);
  const info = useAsked(`library ${round} ${rowsToken(pulse.now)}`, askLibrary);
  const spaces = useAsked(`spaces ${round}`, api.spaces);
  const models = useAsked(`models ${round}`, api.models);
  return (
    <>
      {info.error && <ProblemNotice problem={info.error} retry={info.retry} />}
      <Panel title={t.tabs.spaces ?? ""} busy={spaces.loading && !spaces.data}>
        {spaces.error && <ProblemNotice problem={spaces.error} retry={spaces.retry} />}
        {spaces.data && info.data ? (
          <SpaceTable spaces={spaces.data} info={info.data} />
        ) : (
          !spaces.error && !info.error && <Bones rows={2} />
        )}
      </Panel>
      <Indexes {...props} info={info.data} />
      {info.data && info.data.bridges.length > 0 && <Bridges of={info.data.bridges} />}
      <Panel title={t.models} busy={models.loading && !models.data}>
        {models.error && <ProblemNotice problem={models.error} retry={models.retry} />}
        {!models.data && models.loading && <Bones rows={6} />}
        {models.data && <Models models={models.data} />}
      </Panel>
    </>
  );
}

type Space = Awaited<ReturnType<typeof api.spaces>>[number];
type Model = Awaited<ReturnType<typeof api.models>>[number];

function SpaceTable({ spaces, info }: { spaces: readonly Space[]; info: api.Info }) {
  const t = useWordsOf(WORDS);
  const { language } = useSettings();
  const all = (info.items.image ?? 0) + (info.items.volume ?? 0);
  if (!spaces.length) return <p className="nothing">{t.spacesNone}</p>;
  return (
    <Table label={t.tabs.spaces ?? ""} columns={t.spaceCols} numbers={[1, 3]}>
      {spaces.map((space, at) => {
        const vectors = Number(info.spaces[at]?.vectors ?? 0);
        const gap = all - vectors;
        return (
          <tr key={`${space.encoder} ${space.weights} ${space.preprocessing}`}>
            <td data-of={t.spaceCols[0]}>
              <strong>{space.encoder}</strong>
              {space.notice && <span className="beneath">{space.notice}</span>}
            </td>
            <td data-of={t.spaceCols[1]} className="number">
              {count(vectors, language)}
            </td>
            <td data-of={t.spaceCols[2]}>
              <span className="bar wide-bar" aria-hidden="true">
                <span style={{ width: `${all ? (100 * vectors) / all : 0}%` }} />
              </span>
              <span className="figure">{all ? percent(vectors / all) : "–"}</span>
              {gap > 0 && vectors > 0 && (
                <span className="beneath">{t.gaps(count(gap, language))}</span>
              )}
            </td>
            <td data-of={t.spaceCols[3]} className="number">
              {space.dim}
            </td>
            <td data-of={t.spaceCols[4]}>
              <code title={space.weights}>{space.weights.slice(0, 12) || "–"}</code>
            </td>
            <td data-of={t.spaceCols[5]}>
              <Tag state={vectors ? "done" : "stopped"} said={vectors ? t.active : t.empty} />
            </td>
          </tr>
        );
      })}
    </Table>
  );
}

function Indexes({ info, role, refresh }: TabProps & { info: api.Info | undefined }) {
  const t = useWordsOf(WORDS);
  const { act, busy, problem } = useDoing();
  const [asked, setAsked] = useState(false);
  const key = useRef(freshKey());
  const again = () =>
    act(async () => {
      await api.askFor("reindex", {}, key.current);
      key.current = freshKey();
      setAsked(true);
      refresh();
    });
  const aside = includes(role, "operator") && (
    <>
      <span role="status">{asked ? t.reindexAsked : t.reindexText}</span>
      <button type="button" className="button small" disabled={busy} onClick={again}>
        {t.reindex}
      </button>
    </>
  );
  return (
    <Panel title={t.indexes} aside={aside} busy={!info}>
      {problem && <ProblemNotice problem={problem} retry={again} />}
      {!info && <Bones rows={2} />}
      {info?.index.length === 0 && <p className="nothing">{t.noIndex}</p>}
      {info && info.index.length > 0 && (
        <Table label={t.indexes} columns={t.indexCols} numbers={[3, 4, 5]}>
          {info.index.map((each) => (
            <IndexRow key={`${each.encoder} ${each.of}`} each={each} />
          ))}
        </Table>
      )}
    </Panel>
  );
}

const numberOf = (value: unknown): number | null => (typeof value === "number" ? value : null);

function IndexRow({ each }: { each: Record<string, unknown> }) {
  const t = useWordsOf(WORDS);
  const { language } = useSettings();
  const recall = numberOf(each.recall_at_10);
  const target = numberOf(each.target);
  const exact = target === null;
  const low = recall !== null && target !== null && recall < target;
  return (
    <tr>
      <td data-of={t.indexCols[0]}>
        <strong>{String(each.encoder)}</strong>
        {Boolean(each.why) && <span className="beneath">{String(each.why)}</span>}
        {Boolean(each.warning) && <span className="beneath warned">{String(each.warning)}</span>}
      </td>
      <td data-of={t.indexCols[1]}>{t.ofLayer[String(each.of)] ?? String(each.of)}</td>
      <td data-of={t.indexCols[2]}>
        <code>{String(each.kind)}</code>
      </td>
      <td data-of={t.indexCols[3]} className="number">
        {count(Number(each.vectors), language)}
      </td>
      <td data-of={t.indexCols[4]} className="number">
        {exact ? (
          t.exact
        ) : (
          <>
            <span className={low ? "warned" : undefined}>
              {recall === null ? t.notMeasured : recall.toFixed(3)}
            </span>
            <span className="beneath">{t.target(target.toFixed(2))}</span>
          </>
        )}
      </td>
      <td data-of={t.indexCols[5]} className="number">
        {bytes(Number(each.bytes ?? 0), language)}
        {Boolean(each.saved_at) && (
          <span className="beneath">{t.savedAt(when(String(each.saved_at), language))}</span>
        )}
      </td>
    </tr>
  );
}

function Bridges({ of }: { of: readonly Record<string, unknown>[] }) {
  const t = useWordsOf(WORDS);
  const said = (value: unknown) => (typeof value === "number" ? percent(value) : "–");
  return (
    <Panel title={t.words}>
      <ul className="plain-list">
        {of.map((each) => (
          <li key={String(each.encoder)}>
            <strong>{String(each.encoder)}</strong>{" "}
            {t.bridgeHit(said(each.report_hit_rate_at_10), said(each.chance_at_10))}
          </li>
        ))}
      </ul>
    </Panel>
  );
}

const MODEL_STATES: Record<string, string> = {
  ready: "done",
  "built in": "done",
  licence: "stopped",
  unavailable: "stopped",
};

function Models({ models }: { models: readonly Model[] }) {
  const t = useWordsOf(WORDS);
  const { language } = useSettings();
  return (
    <Table label={t.models} columns={t.modelCols}>
      {models.map((model) => (
        <tr key={model.name}>
          <td data-of={t.modelCols[0]}>
            <strong>{model.name}</strong>
            {model.title && <span className="beneath">{model.title}</span>}
          </td>
          <td data-of={t.modelCols[1]}>
            <Tag
              state={MODEL_STATES[model.state] ?? "revoked"}
              said={t.modelStates[model.state] ?? model.state}
            />
          </td>
          <td data-of={t.modelCols[2]}>{model.modalities.join(" ") || t.anyModality}</td>
          <td data-of={t.modelCols[3]}>{model.text ? t.yes : t.no}</td>
          <td data-of={t.modelCols[4]}>
            {model.licence || "–"}
            {!model.commercial && <span className="beneath">{t.notCommercial}</span>}
          </td>
          <td data-of={t.modelCols[5]}>
            {model.state === "ready" || model.state === "built in" ? (
              model.bytes ? (
                bytes(model.bytes, language)
              ) : (
                "–"
              )
            ) : (
              <Command words={`syntopy models pull ${model.name}`} />
            )}
          </td>
        </tr>
      ))}
    </Table>
  );
}
