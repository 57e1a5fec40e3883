import { useKeys } from "../../lib/keys";
import { useWords, useWordsOf } from "../../lib/settings";
import { Icon } from "../../parts/Icon";
import { Notice } from "../../parts/Notice";
import { Viewer } from "../../parts/Viewer";
import type { Series } from "./SeriesList";
import { WORDS } from "./words";

interface ServedProps {
  series: Series;
  why: string;
  /** The picture or slice, from one; 0 for where one begins. */
  at: number;
  onAt: (at: number) => void;
}

/** A series as the service draws it: where its stored values cannot be had, or not be drawn. */
export function Served({ series, why, at, onAt }: ServedProps) {
  const t = useWords();
  const w = useWordsOf(WORDS);
  const { items } = series;
  const place = Math.min(items.length, Math.max(1, items.length > 1 ? at : 1));
  const item = items[place - 1];
  const step = (by: number) => onAt(Math.min(items.length, Math.max(1, place + by)));
  const many = items.length > 1;
  useKeys({ ArrowLeft: () => step(-1), ArrowRight: () => step(1) }, many);
  if (!item)
    return (
      <Notice kind="info" title={w.nothing}>
        {w.nothingText}
      </Notice>
    );
  const slices = item.kind === "volume" ? item.slices : 1;
  return (
    <div className="viewer-served">
      <Notice kind="info" title={w.served}>
        {why}
      </Notice>
      {many && (
        <div className="viewer-steps">
          <button
            type="button"
            className="button quiet"
            aria-label={t.previous}
            title="←"
            onClick={() => step(-1)}
          >
            <Icon name="left" />
          </button>
          <span>{w.slice(place, items.length)}</span>
          <button
            type="button"
            className="button quiet"
            aria-label={t.next}
            title="→"
            onClick={() => step(1)}
          >
            <Icon name="right" />
          </button>
        </div>
      )}
      <Viewer
        key={item.id}
        frame={{
          id: item.id,
          modality: series.modality,
          slices,
          slice: !many && at ? Math.min(at, slices) : Math.ceil(slices / 2),
        }}
      />
    </div>
  );
}
