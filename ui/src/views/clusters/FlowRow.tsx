import type { Item } from "../../api/clusters";
import * as api from "../../api/clusters";
import { count, plain } from "../../lib/format";
import { imageName } from "../../lib/names";
import { useSettings, useWordsOf } from "../../lib/settings";
import { ProblemNotice } from "../../parts/Notice";
import { Thumb } from "../../parts/Thumb";
import { type Flow, NOISE } from "./flows";
import { part } from "./names";
import { usePages } from "./pages";
import { hrefOf } from "./state";
import { WORDS } from "./words";

interface FlowRowProps {
  runs: [first: string, second: string];
  flow: Flow;
  /** Of the clusters of the second, by number. */
  names: Map<number, string>;
  largest: number;
  open: boolean;
  to: number | null;
  onOpen: (open: boolean) => void;
  onTo: (to: number | null) => void;
}

/** Where one cluster of the first clustering went; opened, each way with its images. */
export function FlowRow(props: FlowRowProps) {
  const { runs, flow, names, largest, open, to, onOpen, onTo } = props;
  const w = useWordsOf(WORDS);
  const { language } = useSettings();
  const nameOf = (number: number, name: string | undefined) =>
    number === NOISE ? w.noiseName : plain(name || String(number));
  const toName = (number: number) => nameOf(number, names.get(number));
  return (
    <li className={open ? "hit flow selected" : "hit flow"}>
      <button
        type="button"
        className="flow-head"
        data-hit={flow.from}
        aria-expanded={open}
        onClick={() => onOpen(!open)}
      >
        <span className="flow-name" title={flow.name}>
          <strong>{nameOf(flow.from, flow.name)}</strong>
          <span>{w.nItems(flow.items, count(flow.items, language))}</span>
        </span>
        <span
          className="flow-bar"
          style={{ width: `${Math.max(4, (100 * flow.items) / largest)}%` }}
        >
          {flow.parts.map((each) => (
            <span
              key={each.to}
              className={each.matched ? "matched" : ""}
              style={{ flexGrow: each.items }}
              title={w.goneTo(count(each.items, language), toName(each.to))}
            />
          ))}
        </span>
        <span className="flow-name">
          {flow.match === null ? (
            <>
              <strong>{w.noCounterpart}</strong>
              {flow.parts[0] && <span>{w.mostTo(toName(flow.parts[0].to))}</span>}
            </>
          ) : (
            <>
              <strong title={toName(flow.match)}>{toName(flow.match)}</strong>
              {flow.match !== NOISE && (
                <span title={w.alikeTitle}>{w.alike(part(flow.jaccard))}</span>
              )}
            </>
          )}
        </span>
      </button>
      {open && (
        <div className="flow-parts">
          <ul>
            {flow.parts.map((each) => (
              <li key={each.to}>
                <button
                  type="button"
                  className="button"
                  aria-pressed={to === each.to}
                  onClick={() => onTo(to === each.to ? null : each.to)}
                >
                  {w.goneTo(count(each.items, language), toName(each.to))}
                </button>
              </li>
            ))}
          </ul>
          {to !== null && <Both runs={runs} from={flow.from} to={to} />}
        </div>
      )}
    </li>
  );
}

interface BothProps {
  runs: [first: string, second: string];
  from: number;
  to: number;
}

/** The images that went one way. */
function Both({ runs: [first, second], from, to }: BothProps) {
  const w = useWordsOf(WORDS);
  const list = usePages<Item>(
    `both ${JSON.stringify([first, second, from, to])}`,
    (cursor, signal) => api.inBoth({ first, second, number: from, other: to, cursor }, signal),
  );
  const rows = list.pages.flat();
  return (
    <>
      <ul className="both" aria-busy={list.loading}>
        {rows.map((item) => (
          <li key={item.id}>
            <a
              href={hrefOf({ run: second, cluster: to, item: item.id })}
              title={imageName(item)}
              aria-label={w.open(imageName(item) || item.id)}
            >
              <Thumb id={item.id} />
            </a>
          </li>
        ))}
      </ul>
      {list.error && <ProblemNotice problem={list.error} retry={list.retry} />}
      {list.more && rows.length > 0 && (
        <button type="button" className="button" onClick={list.next} disabled={list.loading}>
          {w.showMore}
        </button>
      )}
    </>
  );
}
