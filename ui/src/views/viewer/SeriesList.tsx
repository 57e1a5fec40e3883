import type { Schemas } from "../../api/client";
import { parts } from "../../lib/format";
import { imageName } from "../../lib/names";
import { useWordsOf } from "../../lib/settings";
import { Thumb } from "../../parts/Thumb";
import { WORDS } from "./words";

export type Series = Schemas["SeriesDetails"];

interface SeriesListProps {
  series: readonly Series[] | undefined;
  chosen: string;
  onChoose: (uid: string) => void;
}

export const imagesOf = (series: Series): number =>
  series.instances.reduce((sum, { rows, frames }) => sum + (rows ? frames : 0), 0) ||
  series.items.reduce((sum, { slices }) => sum + slices, 0);

/** The series of the study, each with the picture that the library keeps of it. */
export function SeriesList({ series, chosen, onChoose }: SeriesListProps) {
  const w = useWordsOf(WORDS);
  return (
    <nav className="viewer-series" aria-label={w.series}>
      <ol>
        {!series && (
          <li className="bones" aria-hidden="true">
            <span className="thumb bone" />
          </li>
        )}
        {series?.map((each, at) => {
          const uid = each.series_instance_uid;
          const name = imageName(each) || w.unnamed;
          return (
            <li key={uid}>
              <button
                type="button"
                aria-current={uid === chosen}
                title={name}
                onClick={() => onChoose(uid)}
              >
                <Thumb id={pictured(each)} />
                <span className="series-name">{name}</span>
                <span className="series-count">{parts(at + 1, w.images(imagesOf(each)))}</span>
              </button>
            </li>
          );
        })}
      </ol>
    </nav>
  );
}

const pictured = ({ items }: Series): string =>
  (items.find(({ role }) => role === "primary") ?? items[0])?.id ?? "";
