import { useMemo } from "react";
import type { Reference, StudyScore } from "../../api/qa";
import { parts, shortUid, who } from "../../lib/format";
import { useKeys } from "../../lib/keys";
import { imageName } from "../../lib/names";
import { formatHash, go } from "../../lib/route";
import { useWords, useWordsOf } from "../../lib/settings";
import { Icon } from "../../parts/Icon";
import { Notice, ProblemNotice } from "../../parts/Notice";
import { Thumb } from "../../parts/Thumb";
import { useJudged, useStudy } from "./asking";
import { About, Detectors, Nearest, Notes, Why } from "./Evidence";
import { imagesOf } from "./images";
import { Picture } from "./Picture";
import type { Update } from "./QaView";
import type { Reviewing } from "./reviewing";
import { SendReport } from "./SendReport";
import type { QaState } from "./state";
import { VerdictBar } from "./VerdictBar";
import { WORDS } from "./words";

interface StudyPanelProps {
  study: string;
  /** As it stands in the list; nothing where it is not in it. */
  score: StudyScore | undefined;
  state: QaState;
  reference: Reference;
  reviewing: Reviewing;
  update: Update;
  onStep: (by: number) => void;
  onOpen: (study: string) => void;
}

/** Why a study was flagged, and the verdict on it. */
export function StudyPanel(props: StudyPanelProps) {
  const { study, score, state, reference, update } = props;
  const t = useWords();
  const w = useWordsOf(WORDS);
  const judged = useJudged(reference, study);
  const details = useStudy(study);
  const images = useMemo(
    () => imagesOf(score, judged.data, details.data),
    [score, judged.data, details.data],
  );
  const image = images.find((each) => each.id === state.item) ?? images[0];
  const flagged = score ? score.flagged : (judged.data?.flagged ?? null);
  const p = score ? score.p_value : (judged.data?.p_value ?? null);
  const search = formatHash({ view: "search", params: new URLSearchParams({ study }) });
  useKeys({ s: () => go({ view: "search", params: new URLSearchParams({ study }) }) });

  const title = image ? imageName(image) : "";
  const person = score ?? details.data;
  return (
    <section className="qa-study" aria-label={t.details}>
      <header>
        <div>
          <h2>{title || shortUid(study)}</h2>
          <p>
            {parts(
              person && who(person.sex, person.age_years),
              person?.study_date,
              image?.scanner,
            ) || " "}
          </p>
        </div>
        <button
          type="button"
          className="button quiet"
          aria-label={t.previous}
          title="k"
          onClick={() => props.onStep(-1)}
        >
          <Icon name="left" />
        </button>
        <button
          type="button"
          className="button quiet"
          aria-label={t.next}
          title="j"
          onClick={() => props.onStep(1)}
        >
          <Icon name="right" />
        </button>
        <button
          type="button"
          className="button quiet only-phone"
          aria-label={t.close}
          title="Esc"
          onClick={() => update({ study: "", item: "" })}
        >
          <Icon name="close" />
        </button>
      </header>
      <div className="qa-panes">
        <div className="qa-left">
          <Picture image={image} reference={reference} failed={details.error} />
          {images.length > 1 && (
            <div className="image-strip" role="group" aria-label={w.images}>
              {images.map((each) => (
                <button
                  key={each.id}
                  type="button"
                  aria-pressed={each.id === image?.id}
                  className={each.flagged ? "odd" : ""}
                  title={each.description}
                  aria-label={parts(each.description, each.flagged ? w.flagged : w.asUsual)}
                  onClick={() => update({ item: each.id }, "replace")}
                >
                  <Thumb id={each.id} />
                </button>
              ))}
            </div>
          )}
          <div className="qa-links">
            <a className="button" href={search}>
              <Icon name="search" size={16} /> {w.findLike}
            </a>
            <CompareLink study={study} hit={image?.nearest?.[0]?.item} />
            {(judged.data?.viewer_url ?? details.data?.viewer_url) && (
              <a
                className="button"
                href={judged.data?.viewer_url ?? details.data?.viewer_url ?? ""}
                target="_blank"
                rel="noreferrer"
              >
                <Icon name="out" size={16} /> {w.viewer}
              </a>
            )}
            <SendReport study={study} reference={reference.name} />
          </div>
        </div>
        <div className="qa-right">
          <VerdictBar {...props} flagged={flagged} p={p} />
          {!score && judged.data && (
            <Notice kind="info" title={w.notInList}>
              {w.notInListDo}
            </Notice>
          )}
          <Why image={image} reason={judged.data?.reason ?? ""} flagged={flagged} />
          <Nearest study={study} image={image} loading={judged.loading} />
          {judged.error && <ProblemNotice problem={judged.error} retry={judged.retry} />}
          <Detectors image={image} interval={judged.data?.alarm_interval ?? null} />
          <About details={details} study={study} image={image} />
          <Notes notes={judged.data?.notes ?? []} />
        </div>
      </div>
    </section>
  );
}

function CompareLink({ study, hit }: { study: string; hit: string | undefined }) {
  const w = useWordsOf(WORDS);
  if (!hit)
    return (
      <span className="button" aria-disabled="true">
        <Icon name="compare" size={16} /> {w.compareWith}
      </span>
    );
  const href = formatHash({ view: "compare", params: new URLSearchParams({ study, hit }) });
  return (
    <a className="button" href={href}>
      <Icon name="compare" size={16} /> {w.compareWith}
    </a>
  );
}
