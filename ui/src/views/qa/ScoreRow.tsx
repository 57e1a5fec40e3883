import type { Review, StudyScore } from "../../api/qa";
import { parts, shortUid, who } from "../../lib/format";
import { imageName } from "../../lib/names";
import { useSettings, useWordsOf } from "../../lib/settings";
import { Icon } from "../../parts/Icon";
import { Thumb } from "../../parts/Thumb";
import { firstFinding, oddestDetector, pValue, scanner, sentence, when } from "./figures";
import { WORDS } from "./words";

interface ScoreRowProps {
  score: StudyScore;
  review: Review | null;
  selected: boolean;
  onOpen: () => void;
}

/** A judged study in the list: what it is, how odd, why, and what was decided. */
export function ScoreRow({ score, review, selected, onOpen }: ScoreRowProps) {
  const w = useWordsOf(WORDS);
  const { language } = useSettings();
  const [item] = score.items;
  const detector = oddestDetector(item);
  const why =
    firstFinding(score) || (score.flagged && detector && (w.detectorSays[detector] ?? detector));
  const name = item ? imageName(item) : "";
  return (
    <li className={`score-row${selected ? " selected" : ""}`}>
      <button
        type="button"
        className="open"
        data-study={score.study_instance_uid}
        aria-current={selected ? "true" : undefined}
        onClick={onOpen}
      >
        <Thumb id={item?.item ?? ""} />
        <span className="score-words">
          <span className="score-name">{name || shortUid(score.study_instance_uid)}</span>
          <span className="score-who">
            {parts(scanner(item), who(score.sex, score.age_years), score.study_date) || "—"}
          </span>
          <span className="score-why">{why ? sentence(why) : w.asUsual}</span>
        </span>
        <span className="score-says">
          <Flag flagged={score.flagged} p={score.p_value} />
          <Decided review={review} />
          <span className="score-when">{when(score.judged_at, language)}</span>
        </span>
      </button>
    </li>
  );
}

/** Whether it is flagged, with its p-value. */
export function Flag({ flagged, p }: { flagged: boolean | null; p: number | null }) {
  const w = useWordsOf(WORDS);
  if (flagged === null || p === null) return <span className="flag unknown">{w.cannot}</span>;
  return (
    <span className={flagged ? "flag on" : "flag"} title={w.pMeaning}>
      {flagged ? w.flagged : w.asUsual} <b>p {pValue(p)}</b>
    </span>
  );
}

function Decided({ review }: { review: Review | null }) {
  const w = useWordsOf(WORDS);
  if (!review?.verdict) {
    return review?.claimed_by ? <span className="decided">{w.atIt(review.claimed_by)}</span> : null;
  }
  return (
    <span className={`decided ${review.verdict}`}>
      <Icon name={review.verdict === "accept" ? "check" : "close"} size={14} />
      {w.verdicts[review.verdict]}
    </span>
  );
}
