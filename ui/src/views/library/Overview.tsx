import type { ReactNode } from "react";
import { library as askLibrary } from "../../api/client";
import type * as api from "../../api/library";
import { useAsked } from "../../lib/ask";
import { count, percent, plain } from "../../lib/format";
import { formatHash } from "../../lib/route";
import { useSettings, useWordsOf } from "../../lib/settings";
import { Icon } from "../../parts/Icon";
import { Notice, ProblemNotice } from "../../parts/Notice";
import { bytes, day, lasting, rowsToken } from "./figures";
import type { TabProps } from "./LibraryView";
import { Bones, Facts, Panel, type Share, Stack } from "./Parts";
import { RunList } from "./Runs";
import { EMPTY, formatLibrary, type LibraryState } from "./state";
import { WORDS } from "./words";

const OUTCOME_TONES: Record<string, string> = {
  indexed: "1",
  unchanged: "2",
  linked: "3",
  skipped: "4",
  rejected: "bad",
  conflict: "warn",
};
const PART_TONES = ["1", "2", "3", "4"];

const here = (change: Partial<LibraryState>): string =>
  formatHash({ view: "library", params: formatLibrary({ ...EMPTY, ...change }) });

/** What is in the library, how it does, and what wants to be looked at. */
export function Overview({ pulse, round }: TabProps) {
  const t = useWordsOf(WORDS);
  const asked = useAsked(`library ${round} ${rowsToken(pulse.now)}`, askLibrary);
  const info = asked.data;
  const busy = asked.loading && !info;
  return (
    <>
      {asked.error && <ProblemNotice problem={asked.error} retry={asked.retry} />}
      <Figures info={info} />
      <Attention now={pulse.now} info={info} />
      <div className="panels">
        <Panel title={t.modalities} busy={busy}>
          {info ? <Modalities of={info.modalities} /> : <Bones rows={4} />}
        </Panel>
        <Panel title={t.files} busy={busy}>
          {info ? <Outcomes of={info.outcomes} /> : <Bones rows={4} />}
        </Panel>
        <Panel title={t.storage} busy={busy} aside={info && <Total info={info} />}>
          {info ? <Storage info={info} now={pulse.now} /> : <Bones rows={4} />}
        </Panel>
        <Panel title={t.about} busy={busy}>
          {info ? <About info={info} /> : <Bones rows={4} />}
        </Panel>
      </div>
      <RunList title={t.came} pulse={pulse} round={round} limit={8} />
    </>
  );
}

function Figures({ info }: { info: api.Info | undefined }) {
  const t = useWordsOf(WORDS);
  const { language } = useSettings();
  const items = info && (info.items.image ?? 0) + (info.items.volume ?? 0);
  const figure = (name: string, value: number | undefined) => (
    <div>
      <dt>{name}</dt>
      <dd>{value === undefined ? <span className="bone" /> : count(value, language)}</dd>
    </div>
  );
  return (
    <dl className="figures" aria-busy={!info}>
      {figure(t.patients, info?.patients)}
      {figure(t.studies, info?.studies)}
      {figure(t.series, info?.series)}
      {figure(t.instances, info?.instances)}
      {figure(t.items, items)}
      {figure(t.reports, info?.reports)}
    </dl>
  );
}

/** What somebody should look at, each with the way there. */
function Attention({ now, info }: { now: api.Now | undefined; info: api.Info | undefined }) {
  const t = useWordsOf(WORDS);
  const { language } = useSettings();
  if (!now) return <div className="attention bone" aria-hidden="true" />;
  const said: [string, Partial<LibraryState>][] = [];
  const refused = (now.files.rejected ?? 0) + (now.files.conflict ?? 0);
  const failed = now.jobs.failed ?? 0;
  if (refused)
    said.push([t.attends.rejected(refused, count(refused, language)), { tab: "rejected" }]);
  if (now.waiting && now.oldest_seconds > 120)
    said.push([
      t.attends.waiting(count(now.waiting, language), lasting(now.oldest_seconds)),
      { tab: "ingest" },
    ]);
  for (const { encoder, recall, target } of now.index)
    if (recall !== null && recall < target)
      said.push([t.attends.recall(encoder, percent(recall), percent(target)), { tab: "spaces" }]);
  if (failed)
    said.push([
      t.attends.failed(failed, count(failed, language)),
      { tab: "jobs", state: "failed" },
    ]);
  if (now.disk_free_bytes < now.disk_bytes / 20)
    said.push([t.attends.disk(bytes(now.disk_free_bytes, language)), {}]);
  if (now.deliveries.dead)
    said.push([t.attends.dead(count(now.deliveries.dead, language)), { tab: "jobs" }]);
  return (
    <>
      {said.length ? (
        <Notice kind="warn" title={t.attention}>
          <ul className="attends">
            {said.map(([words, where]) => (
              <li key={words}>
                {words}
                {where.tab && <a href={here(where)}>{t.see}</a>}
              </li>
            ))}
          </ul>
        </Notice>
      ) : (
        <p className="well">
          <Icon name="check" size={16} /> {t.allWell}
        </p>
      )}
      {info?.notices.map((each) => (
        <Notice key={each} kind="info" title={t.note}>
          {each}
        </Notice>
      ))}
    </>
  );
}

/** What the service says of a modality that no file states. */
const UNKNOWN = "?";

function Modalities({ of }: { of: Readonly<Record<string, number>> }) {
  const t = useWordsOf(WORDS);
  const { language } = useSettings();
  const all = Object.entries(of).sort((a, b) => b[1] - a[1]);
  const most = Math.max(1, ...all.map(([, number]) => number));
  if (!all.length) return <p className="nothing">{t.none}</p>;
  return (
    <ul className="bars">
      {all.map(([name, number]) => (
        <li key={name}>
          {name === UNKNOWN ? (
            <span>{name}</span>
          ) : (
            <a
              href={formatHash({
                view: "search",
                params: new URLSearchParams({ f: `modality=${name}` }),
              })}
              title={t.searchThem(name)}
            >
              {name}
            </a>
          )}
          <span className="bar" aria-hidden="true">
            <span style={{ width: `${(100 * number) / most}%` }} />
          </span>
          <span className="figure">{count(number, language)}</span>
        </li>
      ))}
    </ul>
  );
}

function Outcomes({ of }: { of: Readonly<Record<string, number>> }): ReactNode {
  const t = useWordsOf(WORDS);
  const { language } = useSettings();
  const shares: Share[] = Object.entries(of).map(([name, value]) => ({
    name: t.outcomes[name] ?? plain(name),
    value,
    said: count(value, language),
    tone: OUTCOME_TONES[name] ?? "4",
  }));
  if (!shares.length) return <p className="nothing">{t.none}</p>;
  return (
    <>
      <Stack shares={shares.sort((a, b) => b.value - a.value)} />
      <p className="panel-note">{t.filesText}</p>
    </>
  );
}

function Total({ info }: { info: api.Info }) {
  const { language } = useSettings();
  return bytes(info.bytes, language);
}

function Storage({ info, now }: { info: api.Info; now: api.Now | undefined }) {
  const t = useWordsOf(WORDS);
  const { language } = useSettings();
  const shares: Share[] = Object.entries(info.storage)
    .sort((a, b) => b[1] - a[1])
    .map(([name, value], at) => ({
      name: t.parts[name] ?? plain(name),
      value,
      said: bytes(value, language),
      tone: PART_TONES[at] ?? "5",
    }));
  return (
    <>
      <Stack shares={shares} />
      <p className="panel-note">
        {now
          ? t.diskFree(bytes(now.disk_free_bytes, language), bytes(now.disk_bytes, language))
          : " "}
      </p>
    </>
  );
}

function About({ info }: { info: api.Info }) {
  const t = useWordsOf(WORDS);
  const { language } = useSettings();
  const labels = Object.entries(info.labels).map(
    ([name, number]) => `${plain(name)} ${count(number, language)}`,
  );
  return (
    <Facts
      of={[
        [t.libraryId, info.id],
        [t.created, day(info.created, language)],
        [t.ids, info.phi === "keep" ? t.idsKept : t.idsPseudonym],
        [t.store, info.store],
        [t.labels, labels.join(" · ") || t.none],
      ]}
    />
  );
}
