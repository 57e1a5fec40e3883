import { useEffect, useRef } from "react";
import type { Item } from "../../api/client";
import * as api from "../../api/client";
import { useAsked } from "../../lib/ask";
import { parts, shortUid, who } from "../../lib/format";
import { imageName } from "../../lib/names";
import { useWords, useWordsOf } from "../../lib/settings";
import { Icon } from "../../parts/Icon";
import { LabelList } from "../../parts/LabelList";
import { Notice, ProblemNotice } from "../../parts/Notice";
import { Viewer } from "../../parts/Viewer";
import { WORDS } from "./words";

interface DetailsProps {
  id: string;
  onMap: boolean;
  /** What it has of that by which the map is coloured. */
  here: { title: string; name: string; colour: string } | undefined;
  onClose: () => void;
}

/** One picture and all that is known of it, with the ways on from here. */
export function Details({ id, onMap, here, onClose }: DetailsProps) {
  const t = useWordsOf(WORDS);
  const words = useWords();
  const asked = useAsked(`item ${id}`, (signal) => api.item(id, signal));
  const item = asked.data?.id === id ? asked.data : undefined;
  const slices = useSlices(item);
  const heading = useRef<HTMLHeadingElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another one begins at its top
  useEffect(() => {
    heading.current?.scrollIntoView({ block: "nearest" });
  }, [id]);
  return (
    <section className="map-details" aria-label={t.details} aria-busy={asked.loading}>
      <header>
        <div className="drawer-title">
          <h2 ref={heading} tabIndex={-1}>
            {item ? imageName(item) || shortUid(item.study_instance_uid) : t.details}
          </h2>
          <p>{item && parts(who(item.sex, item.age_years), item.study_date)}</p>
        </div>
        <button
          type="button"
          className="button quiet"
          aria-label={words.close}
          title="Esc"
          onClick={onClose}
        >
          <Icon name="close" />
        </button>
      </header>
      {asked.error && <ProblemNotice problem={asked.error} retry={asked.retry} />}
      {!onMap && item && <Notice kind="info" title={t.notOnMap} />}
      {item && slices ? (
        <Viewer
          key={id}
          frame={{ id, modality: item.modality, slices, slice: Math.ceil(slices / 2) }}
        />
      ) : (
        !asked.error && (
          <div className="viewer">
            <div className="screen bone" />
          </div>
        )
      )}
      {item && <Acts item={item} />}
      {here && (
        <dl className="pairs">
          <div>
            <dt>{here.title}</dt>
            <dd>
              <span className="swatch" style={{ background: here.colour }} /> {here.name}
            </dd>
          </div>
        </dl>
      )}
      {item && (
        <>
          <h3>{words.labels}</h3>
          <LabelList labels={item.labels} />
        </>
      )}
    </section>
  );
}

function Acts({ item }: { item: Item }) {
  const t = useWordsOf(WORDS);
  const words = useWords();
  return (
    <div className="drawer-acts">
      <a className="button" href={`#/search?study=${item.study_instance_uid}`}>
        <Icon name="search" size={16} /> {t.searchThis}
      </a>
      <a className="button" href={`#/compare?study=${item.study_instance_uid}`}>
        <Icon name="compare" size={16} /> {t.compareThis}
      </a>
      {item.viewer_url && (
        <a className="button" href={item.viewer_url} target="_blank" rel="noreferrer">
          <Icon name="out" size={16} /> {words.openViewer}
        </a>
      )}
    </div>
  );
}

/** Slices of a volume as its study tells, 1 of a picture; not known before that. */
function useSlices(item: Item | undefined): number | undefined {
  const volume = item?.kind === "volume" ? item : undefined;
  const study = useAsked(volume ? `study ${volume.study_instance_uid}` : null, (signal) =>
    api.study(volume?.study_instance_uid ?? "", signal),
  );
  if (!item || !volume) return item && 1;
  if (study.error) return 1;
  return study.data?.series.flatMap((series) => series.items).find(({ id }) => id === item.id)
    ?.slices;
}
