import type { Hit } from "../../api/client";
import { plain, shortUid } from "../../lib/format";
import { fieldName, valueName } from "../../lib/names";
import { useWords, useWordsOf } from "../../lib/settings";
import type { Side } from "./asking";
import { daysBetween, type Row, rowsOf } from "./differing";
import { type CompareWords, WORDS } from "./words";

interface DifferencesProps {
  ours: Side | undefined;
  theirs: Side | undefined;
  /** Tells of a dropped file what the sides cannot. */
  hit: Hit | undefined;
  loading: boolean;
  all: boolean;
  onAll: () => void;
}

/** What is known of both, side by side: what differs stands out, what does not is at hand. */
export function Differences({ ours, theirs, hit, loading, all, onAll }: DifferencesProps) {
  const t = useWords();
  const words = useWordsOf(WORDS);
  const told = hit?.evidence;
  const rows: Row[] =
    ours && theirs
      ? rowsOf(ours, theirs, t, words)
      : [
          ...Object.entries(told?.differing ?? {}).map(([field, [mine = "", its = ""]]) => ({
            field,
            name: fieldName(field, t),
            ours: valueName(field, mine, t),
            theirs: valueName(field, its, t),
            differs: true,
          })),
          ...Object.entries(told?.shared ?? {}).map(([field, value]) => ({
            field,
            name: fieldName(field, t),
            ours: valueName(field, value, t),
            theirs: valueName(field, value, t),
            differs: false,
          })),
        ];
  const differing = rows.filter((row) => row.differs);
  return (
    <section aria-labelledby="differing" aria-busy={loading}>
      <header className="compare-head">
        <h2 id="differing">{words.differing}</h2>
        <button
          type="button"
          className="button quiet small"
          aria-pressed={all}
          title="e"
          onClick={onAll}
        >
          {words.allFields}
        </button>
      </header>
      {ours && theirs && <Between ours={ours} theirs={theirs} words={words} />}
      {loading ? (
        <div className="compare-bones" aria-hidden="true">
          <span className="bone" />
          <span className="bone" />
          <span className="bone" />
        </div>
      ) : rows.length === 0 ? null : (
        <table className="difference">
          <thead>
            <tr>
              <td />
              <th scope="col">{words.ours}</th>
              <th scope="col">{words.theirs}</th>
            </tr>
          </thead>
          <tbody>
            {(all ? rows : differing).map((row) => (
              <tr key={row.field} className={row.differs ? undefined : "shared"}>
                <th scope="row">{row.name}</th>
                <td>{row.ours || "—"}</td>
                <td className={row.differs ? "other" : undefined}>{row.theirs || "—"}</td>
              </tr>
            ))}
            {ours && theirs && (
              <tr className="shared">
                <th scope="row">{t.patient}</th>
                <td title={ours.study.patient}>{shortName(ours.study.patient)}</td>
                <td title={theirs.study.patient}>{shortName(theirs.study.patient)}</td>
              </tr>
            )}
          </tbody>
        </table>
      )}
      {!loading && rows.length > 0 && !differing.length && (
        <p className="none">{words.nothingDiffers}</p>
      )}
    </section>
  );
}

const shortName = (pseudonym: string): string => (pseudonym ? shortUid(pseudonym) : "—");

function Between({ ours, theirs, words }: { ours: Side; theirs: Side; words: CompareWords }) {
  const days = daysBetween(ours, theirs);
  if (days === undefined) return null;
  const said =
    days === 0 ? words.sameDay : days > 0 ? words.daysLater(days) : words.daysBefore(-days);
  return <p className="compare-between">{said}</p>;
}

/** Labels and reports of one side. */
export function Words({
  side,
  loading,
  title,
}: {
  side: Side | undefined;
  loading: boolean;
  title: string;
}) {
  const t = useWords();
  const labels = Object.entries(side?.item.labels ?? {});
  return (
    <section aria-label={`${t.report}: ${title}`} aria-busy={loading} className="compare-words">
      <h3>{title}</h3>
      {loading ? (
        <div className="compare-bones" aria-hidden="true">
          <span className="bone" />
          <span className="bone" />
        </div>
      ) : (
        side && (
          <>
            <p className="labels">
              {labels.length
                ? labels.map(([name, values]) => (
                    <span key={name} className="label" title={plain(name)}>
                      {values.map(plain).join(", ")}
                    </span>
                  ))
                : t.noLabels}
            </p>
            {side.study.reports.length ? (
              side.study.reports.map((text) => (
                <p key={text} className="report">
                  {text}
                </p>
              ))
            ) : (
              <p className="none">{t.noReport}</p>
            )}
          </>
        )
      )}
    </section>
  );
}
