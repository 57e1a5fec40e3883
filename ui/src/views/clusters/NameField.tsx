import { type FormEvent, type ReactNode, useEffect, useRef, useState } from "react";
import { GONE, Problem } from "../../api/client";
import { type Cluster, clusterName, type Named, nameCluster } from "../../api/clusters";
import { useWordsOf } from "../../lib/settings";
import { Icon } from "../../parts/Icon";
import { Notice, ProblemNotice } from "../../parts/Notice";
import { called } from "./names";
import { nextRound } from "./rounds";
import { WORDS } from "./words";

interface NameFieldProps {
  run: string;
  cluster: Cluster;
  editing: boolean;
  onEdit: (editing: boolean) => void;
  /** The name as it is shown while nobody changes it. */
  children: ReactNode;
}

/** A cluster's name, which becomes a field in its place. */
export function NameField({ run, cluster, editing, onEdit, children }: NameFieldProps) {
  const w = useWordsOf(WORDS);
  if (editing) return <NameForm run={run} cluster={cluster} onDone={() => onEdit(false)} />;
  return (
    <div className="named">
      {children}
      <button
        type="button"
        className="button quiet small rename"
        aria-label={w.renameOf(called(cluster, w))}
        title={`${w.rename} (e)`}
        onClick={() => onEdit(true)}
      >
        <Icon name="edit" size={15} />
      </button>
    </div>
  );
}

const problemOf = (error: unknown): Problem =>
  error instanceof Problem ? error : new Problem(0, GONE, "");

function NameForm({ run, cluster, onDone }: { run: string; cluster: Cluster; onDone: () => void }) {
  const w = useWordsOf(WORDS);
  const begun = cluster.given_name || cluster.name;
  const [text, setText] = useState(begun);
  const [seen, setSeen] = useState<Named>();
  const [theirs, setTheirs] = useState<Named>();
  const [problem, setProblem] = useState<Problem>();
  const [busy, setBusy] = useState(false);
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current?.select(), []);
  useEffect(() => {
    let live = true;
    clusterName(run, cluster.cluster).then(
      (named) => {
        if (!live) return;
        setSeen(named);
        // Somebody named it since the list was asked for: theirs is where one begins.
        if (named.name.given_name !== cluster.given_name)
          setText((typed) => (typed === begun ? named.name.called : typed));
      },
      (error: unknown) => live && setProblem(problemOf(error)),
    );
    return () => {
      live = false;
    };
  }, [run, cluster.cluster, cluster.given_name, begun]);

  async function save(from: Named | undefined, said: string): Promise<void> {
    setBusy(true);
    setProblem(undefined);
    try {
      const base = from ?? (await clusterName(run, cluster.cluster));
      const wanted = said.trim() === base.name.name ? "" : said.trim();
      const now = await nameCluster(base, wanted);
      if (now.mine) {
        nextRound();
        onDone();
      } else setTheirs(now);
    } catch (error) {
      setProblem(problemOf(error));
    } finally {
      setBusy(false);
    }
  }
  function submit(event: FormEvent): void {
    event.preventDefault();
    void save(theirs ?? seen, text);
  }
  function keepTheirs(): void {
    nextRound();
    onDone();
  }
  return (
    <form
      className="naming"
      onSubmit={submit}
      onKeyDown={(event) => {
        if (event.key !== "Escape") return;
        event.stopPropagation();
        onDone();
      }}
    >
      <input
        ref={field}
        type="text"
        maxLength={128}
        value={text}
        aria-label={w.name}
        onChange={(event) => setText(event.target.value)}
      />
      {!theirs && (
        <>
          <button type="submit" className="button accent" disabled={busy}>
            {w.save}
          </button>
          <button type="button" className="button quiet" onClick={onDone}>
            {w.cancel}
          </button>
        </>
      )}
      {cluster.given_name && cluster.name && (
        <p className="naming-found">
          {w.foundName(cluster.name)}{" "}
          <button type="button" className="link" onClick={() => setText(cluster.name)}>
            {w.restoreName}
          </button>
        </p>
      )}
      {theirs && (
        <Notice
          kind="warn"
          title={w.changedTitle}
          actions={
            <>
              <button type="button" className="button" onClick={keepTheirs}>
                {w.takeTheirs}
              </button>
              <button type="submit" className="button accent" disabled={busy}>
                {w.takeMine}
              </button>
            </>
          }
        >
          {w.changedText(theirs.name.called)}
        </Notice>
      )}
      {problem && <ProblemNotice problem={problem} retry={() => void save(theirs ?? seen, text)} />}
    </form>
  );
}
