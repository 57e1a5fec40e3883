import { useEffect, useRef } from "react";
import { percentile } from "../../lib/format";
import { imageName } from "../../lib/names";
import { useWords, useWordsOf } from "../../lib/settings";
import { Thumb } from "../../parts/Thumb";
import type { Candidate } from "./asking";
import { WORDS } from "./words";

interface StripProps {
  candidates: Candidate[];
  shown: string;
  loading: boolean;
  onShow: (id: string) => void;
}

/** All that can be on the right, in their order; the one that is there is marked. */
export function Strip({ candidates, shown, loading, onShow }: StripProps) {
  const t = useWords();
  const words = useWordsOf(WORDS);
  const current = useRef<HTMLLIElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another one is in sight, too
  useEffect(() => {
    const item = current.current;
    const list = item?.parentElement;
    if (!item || !list) return;
    const [left, right] = [item.offsetLeft, item.offsetLeft + item.offsetWidth];
    if (left < list.scrollLeft || right > list.scrollLeft + list.clientWidth)
      list.scrollLeft = left - list.clientWidth / 2;
  }, [shown, candidates.length]);
  return (
    <ol className="strip" aria-label={words.hits} aria-busy={loading}>
      {loading && !candidates.length
        ? Array.from({ length: 12 }, (_, at) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: they are all alike
            <li key={at} className="bone" aria-hidden="true" />
          ))
        : candidates.map(({ item, hit, region, place }) => {
            const share = hit?.evidence?.percentile;
            const said = region
              ? region.score.toFixed(2)
              : share !== null && share !== undefined
                ? `${percentile(share)} %`
                : (hit?.score.toFixed(2) ?? "");
            return (
              <li
                key={item.id}
                ref={item.id === shown ? current : undefined}
                className={loading ? "stale" : undefined}
              >
                <button
                  type="button"
                  data-hit={item.id}
                  aria-current={item.id === shown ? "true" : undefined}
                  onClick={() => onShow(item.id)}
                >
                  <Thumb id={item.id} />
                  <span>
                    <b>{place ?? (hit ? t.prior : "")}</b> {hit && place === null ? "" : said}
                    <span className="sr"> {imageName(item)}</span>
                  </span>
                </button>
              </li>
            );
          })}
    </ol>
  );
}
