import { useCallback, useEffect, useMemo, useState } from "react";
import * as api from "../../api/library";
import { forgetAnswers, useAsked } from "../../lib/ask";
import { useKeySheet, useKeys } from "../../lib/keys";
import { formatHash, go } from "../../lib/route";
import { useSettings, useWords, useWordsOf } from "../../lib/settings";
import { Icon } from "../../parts/Icon";
import { Notice, ProblemNotice } from "../../parts/Notice";
import "../../style/library.css";
import { Audit } from "./Audit";
import { when } from "./figures";
import { Ingest } from "./Ingest";
import { Jobs } from "./Jobs";
import { Keys } from "./Keys";
import { type Pulse, useDoing, usePulse } from "./live";
import { Overview } from "./Overview";
import { Rejected } from "./Rejected";
import { Spaces } from "./Spaces";
import {
  EMPTY,
  formatLibrary,
  includes,
  type LibraryState,
  MOST,
  NEEDS,
  parseLibrary,
  type Tab,
  tabsFor,
} from "./state";
import { WORDS } from "./words";

/** What every tab is given. */
export interface TabProps {
  state: LibraryState;
  update: (change: Partial<LibraryState>, how?: "push" | "replace") => void;
  pulse: Pulse;
  session: api.Session;
  /** Of who asks. */
  role: api.Role;
  /** Changes when everything is to be asked again. */
  round: number;
  refresh: () => void;
}

const SHOWN: Record<Tab, (props: TabProps) => React.ReactNode> = {
  overview: Overview,
  ingest: Ingest,
  rejected: Rejected,
  spaces: Spaces,
  jobs: Jobs,
  keys: Keys,
  audit: Audit,
};

let rounds = 0;

/** A number that no answer that is kept was asked under, not in an earlier visit either. */
function nextRound(): number {
  rounds += 1;
  return rounds;
}

/** Looking after the library: what is in it, what comes, what is refused, who may do what. */
export function LibraryView({ params }: { params: URLSearchParams }) {
  const t = useWordsOf(WORDS);
  const all = useWords();
  const state = useMemo(() => parseLibrary(params), [params]);
  const [round, setRound] = useState(nextRound);
  const pulse = usePulse();
  const asked = useAsked(`session ${round}`, api.session);
  const session = asked.data;
  const role = session?.role || "monitor";
  const known = session !== undefined && session.role !== "";
  const tabs = tabsFor(role);
  const Shown = SHOWN[state.tab];

  const refresh = useCallback(() => {
    setRound(nextRound());
    pulse.look();
  }, [pulse.look]);
  function update(change: Partial<LibraryState>, how: "push" | "replace" = "push"): void {
    go({ view: "library", params: formatLibrary({ ...state, ...change }) }, how);
  }
  function turn(by: number): void {
    const at = tabs.indexOf(state.tab) + by;
    const tab = tabs[(at + tabs.length) % tabs.length];
    if (tab) update({ ...EMPTY, tab });
  }
  function make(): void {
    if (state.tab === "keys") update({ making: true });
    else if (includes(role, "operator")) {
      update({ ...EMPTY, tab: "ingest" });
      requestAnimationFrame(() => document.getElementById("index-folder")?.focus());
    }
  }

  useKeys({
    ",": () => turn(-1),
    ".": () => turn(1),
    j: () => stepRow(1),
    k: () => stepRow(-1),
    n: make,
    r: refresh,
    m: () => update({ n: Math.min(MOST, state.n * 2) }, "replace"),
    Escape: () => state.job && update({ job: "" }),
  });
  useKeySheet(t.sheet);

  // biome-ignore lint/correctness/useExhaustiveDependencies: who has signed in looks at once
  useEffect(() => {
    if (known && pulse.error) pulse.look();
  }, [session?.how]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: where it is narrow, tabs are scrolled
  useEffect(() => {
    const tab = document.querySelector(".tabs [aria-current]");
    tab?.scrollIntoView({ inline: "center", block: "nearest" });
  }, [state.tab, session]);

  return (
    <main id="main" className="library" tabIndex={-1}>
      <header className="library-head">
        <h1>{all.library}</h1>
        <Pulsing pulse={pulse} onLook={refresh} />
        {known && <Who session={session} onOut={refresh} />}
      </header>
      <nav className="tabs" aria-label={all.library}>
        {tabs.map((tab) => (
          <a
            key={tab}
            href={formatHash({ view: "library", params: formatLibrary({ ...EMPTY, tab }) })}
            aria-current={tab === state.tab ? "page" : undefined}
          >
            {t.tabs[tab]}
            {tab === "rejected" && <Rejections pulse={pulse} />}
          </a>
        ))}
      </nav>
      {pulse.error && pulse.error.status !== 401 && (
        <ProblemNotice problem={pulse.error} retry={refresh} />
      )}
      {asked.error && <ProblemNotice problem={asked.error} retry={asked.retry} />}
      {!session && asked.loading && <div className="library-coming bone" aria-busy="true" />}
      {session && !known && (
        <Notice kind="info" title={all.signedOutTitle}>
          {all.signInText}
        </Notice>
      )}
      {known &&
        (includes(role, NEEDS[state.tab]) ? (
          <Shown
            key={state.tab}
            state={state}
            update={update}
            pulse={pulse}
            session={session}
            role={role}
            round={round}
            refresh={refresh}
          />
        ) : (
          <Notice kind="info" title={t.needs(NEEDS[state.tab])}>
            {t.needsText(session.name, role)}
          </Notice>
        ))}
      <footer>{all.research}</footer>
    </main>
  );
}

/** Go to the next row, or the one before; with none chosen to the first. */
function stepRow(by: number): void {
  const rows = [...document.querySelectorAll<HTMLElement>("#main [data-row]")];
  const current = document.activeElement;
  const at = current instanceof HTMLElement ? rows.indexOf(current) : -1;
  const next = rows[at < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, at + by))];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

function Rejections({ pulse }: { pulse: Pulse }) {
  const { rejected = 0, conflict = 0 } = pulse.now?.files ?? {};
  return rejected + conflict ? <span className="tab-count">{rejected + conflict}</span> : null;
}

function Pulsing({ pulse, onLook }: { pulse: Pulse; onLook: () => void }) {
  const t = useWordsOf(WORDS);
  const how = pulse.error ? "bad" : pulse.paused ? "warn" : "good";
  const said = pulse.error ? t.notLive : pulse.paused ? t.paused : t.live;
  return (
    <div className="pulse">
      <span className={`dot tone-${how}`} aria-hidden="true" />
      <span>{said}</span>
      <button type="button" className="button quiet small" onClick={onLook}>
        {t.refresh}
      </button>
    </div>
  );
}

/** Who asks, in which role, and the way out. */
function Who({ session, onOut }: { session: api.Session; onOut: () => void }) {
  const t = useWordsOf(WORDS);
  const { language } = useSettings();
  const { act, busy, problem } = useDoing();
  const out = () =>
    act(async () => {
      await api.signOut();
      forgetAnswers();
      onOut();
    });
  const name = session.how === "loopback" ? t.anyone : session.name;
  return (
    <div className="who">
      <Icon name="key" size={16} />
      <span>
        <strong>{name}</strong> · {session.role}
        {session.expires_at && (
          <span className="who-until"> · {t.until(when(session.expires_at, language))}</span>
        )}
      </span>
      {session.signed_in && (
        <button type="button" className="button small" disabled={busy} onClick={out}>
          {t.signOut}
        </button>
      )}
      {problem && <ProblemNotice problem={problem} retry={out} />}
    </div>
  );
}
