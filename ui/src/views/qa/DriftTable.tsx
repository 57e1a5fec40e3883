import { useWordsOf } from "../../lib/settings";
import { groupsOf, partOf, type Report, watchOf } from "./drift";
import { share } from "./figures";
import { WORDS } from "./words";

/** The figures of the charts, for who reads or listens. */
export function DriftTable({ report, detector }: { report: Report; detector: string }) {
  const w = useWordsOf(WORDS);
  const said = (value: number | null | undefined) =>
    value === null || value === undefined ? "–" : share(value);
  return (
    <details className="notes drift-table">
      <summary>{w.table}</summary>
      {groupsOf(report).map((group) => {
        const watch = watchOf(report, group, detector);
        return (
          <div key={group} className="scroll-x">
            <table className="figures">
              <caption>{group || w.all}</caption>
              <thead>
                <tr>
                  <th scope="col">{w.window}</th>
                  <th scope="col">{w.patients}</th>
                  <th scope="col">{w.shareFlagged}</th>
                  <th scope="col">{w.low}</th>
                  <th scope="col">{w.high}</th>
                  <th scope="col">{w.tests}</th>
                  <th scope="col">{w.level}</th>
                  <th scope="col">{w.limit}</th>
                  <th scope="col">{w.alarm}</th>
                </tr>
              </thead>
              <tbody>
                {report.windows.map((window, at) => {
                  const part = partOf(window, group);
                  const step = watch?.steps[at];
                  const tests =
                    part?.differs === true
                      ? w.differs
                      : part?.differs === false
                        ? w.same
                        : w.tooFew;
                  return (
                    <tr key={window.name}>
                      <th scope="row">{window.name}</th>
                      <td>{part?.patients ?? 0}</td>
                      <td>{said(part?.flagged)}</td>
                      <td>{said(part?.low)}</td>
                      <td>{said(part?.high)}</td>
                      <td className={part?.differs ? "odd" : ""}>{tests}</td>
                      <td>{step ? step.level.toFixed(2) : "–"}</td>
                      <td>{step ? `±${step.limit.toFixed(2)}` : "–"}</td>
                      <td className={step?.alarm ? "odd" : ""}>{step?.alarm ? w.alarmYes : "–"}</td>
                    </tr>
                  );
                })}
              </tbody>
            </table>
          </div>
        );
      })}
    </details>
  );
}
