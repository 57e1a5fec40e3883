import type { ReactNode } from "react";
import type { Item } from "../../api/client";
import type { Asked } from "../../lib/ask";
import { parts, plain, who } from "../../lib/format";
import { imageName } from "../../lib/names";
import { useWords } from "../../lib/settings";
import { Icon, type IconName } from "../../parts/Icon";
import { Notice, ProblemNotice } from "../../parts/Notice";
import { Thumb } from "../../parts/Thumb";
import { LookAround } from "./LookAround";

interface StartProps {
  asked: Asked<Item[]>;
  narrowed: boolean;
  /** To try; nothing as long as they are not known. */
  phrases: readonly string[] | undefined;
  onFile: () => void;
  onType: () => void;
  onPhrase: (phrase: string) => void;
  onStudy: (item: Item) => void;
}

/** Before anything is asked: what this is for, the ways to begin, and studies to begin with. */
export function Start(props: StartProps) {
  const { asked, narrowed, phrases, onFile, onType, onPhrase, onStudy } = props;
  const t = useWords();
  const empty = asked.data?.length === 0;
  return (
    <>
      <section className="start">
        <h1>{t.startTitle}</h1>
        <p>{t.startText}</p>
        <div className="ways">
          {way("file", t.startDrop, t.dropHint, onFile)}
          {way("picture", t.startPaste, <kbd>{t.pasteKey}</kbd>, onType)}
          {way("text", t.startType, <kbd>/</kbd>, onType)}
        </div>
        {phrases?.length !== 0 && (
          <p className="phrases">
            {t.startTry}
            {phrases?.map((phrase) => (
              <button key={phrase} type="button" onClick={() => onPhrase(phrase)}>
                “{phrase}”
              </button>
            ))}
          </p>
        )}
      </section>
      {!empty && <LookAround />}
      <section className="lane" aria-label={t.recent} aria-busy={asked.loading}>
        <h2>
          {t.recent} {!empty && <span className="aside">{t.startPick}</span>}
        </h2>
        {asked.error && <ProblemNotice problem={asked.error} retry={asked.retry} />}
        {empty && (
          <Notice kind="info" title={narrowed ? t.noHits : t.emptyLibrary}>
            {narrowed ? t.noHitsDo : t.emptyLibraryDo}
          </Notice>
        )}
        <ol className={`hits tiles${asked.loading ? " stale" : ""}`}>
          {!asked.data &&
            asked.loading &&
            Array.from({ length: 18 }, (_, at) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: they are all alike
              <li key={at} className="hit bones" aria-hidden="true">
                <span className="thumb bone" />
                <span className="hit-body">
                  <span className="bone" />
                </span>
              </li>
            ))}
          {asked.data?.map((item) => (
            <li key={item.id} className="hit">
              <button
                type="button"
                className="open"
                data-hit={item.id}
                onClick={() => onStudy(item)}
              >
                <Thumb id={item.id} />
                <span className="hit-body">
                  <span className="hit-name">{imageName(item) || labelOf(item)}</span>
                  <span className="hit-who">
                    {parts(who(item.sex, item.age_years), item.study_date) || "—"}
                  </span>
                </span>
              </button>
            </li>
          ))}
        </ol>
      </section>
    </>
  );
}

function way(icon: IconName, title: string, hint: ReactNode, act: () => void) {
  return (
    <button type="button" className="way" onClick={act}>
      <Icon name={icon} size={22} />
      <span>
        <strong>{title}</strong>
        <span>{hint}</span>
      </span>
    </button>
  );
}

const labelOf = (item: Item): string => plain(Object.values(item.labels).flat()[0] ?? item.kind);
