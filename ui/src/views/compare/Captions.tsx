import type { ReactNode } from "react";
import { parts, shortUid, who } from "../../lib/format";
import { imageName } from "../../lib/names";
import { useWords, useWordsOf } from "../../lib/settings";
import { Icon } from "../../parts/Icon";
import { Nearness } from "../search/HitCard";
import type { Candidate, Side } from "./asking";
import { WORDS } from "./words";

interface CaptionProps {
  tag: string;
  side: Side | undefined;
  /** What stands there where it is no item of the library. */
  name?: string;
  loading: boolean;
  children?: ReactNode;
}

/** What a picture is of, above it. */
export function Caption({ tag, side, name, loading, children }: CaptionProps) {
  return (
    <header className="caption">
      <span className="caption-tag">{tag}</span>
      <div className="caption-words">
        {side ? (
          <>
            <h2 title={nameOfSide(side)}>{nameOfSide(side)}</h2>
            <p>{parts(who(side.study.sex, side.study.age_years), side.study.study_date) || "—"}</p>
          </>
        ) : name ? (
          <h2>{name}</h2>
        ) : (
          loading && <span className="bone line" />
        )}
      </div>
      {children}
    </header>
  );
}

export const nameOfSide = ({ series, study }: Side): string =>
  imageName(series) || shortUid(study.study_instance_uid);

interface LeftActsProps {
  pinned: boolean;
  possible: boolean;
  onPin: () => void;
}

/** Putting a hit on the left, and the query back there. */
export function PinButton({ pinned, possible, onPin }: LeftActsProps) {
  const words = useWordsOf(WORDS);
  return (
    <button
      type="button"
      className="button quiet small"
      title="p"
      disabled={!pinned && !possible}
      onClick={onPin}
    >
      <Icon name={pinned ? "undo" : "left"} size={14} /> {pinned ? words.unpin : words.pin}
    </button>
  );
}

/** How near a hit is: as a whole, or the part of it that is like the region. */
export function Near({ candidate }: { candidate: Candidate | undefined }) {
  const t = useWords();
  const words = useWordsOf(WORDS);
  if (candidate?.region)
    return (
      <span className="caption-near">{words.regionScore(candidate.region.score.toFixed(2))}</span>
    );
  if (!candidate?.hit) return null;
  return (
    <span className="caption-near">
      {candidate.place === null && <span>{t.prior}</span>}
      <Nearness hit={candidate.hit} place={candidate.place} />
    </span>
  );
}
