import { memo } from "react";
import type { Hit, SearchAnswer } from "../../api/client";
import { count, decimal, parts, percentile, plain, shortUid, who } from "../../lib/format";
import type { Messages } from "../../lib/messages";
import { fieldName, imageName, valueName } from "../../lib/names";
import { useSettings, useWords } from "../../lib/settings";
import { Icon, type IconName } from "../../parts/Icon";
import { Thumb } from "../../parts/Thumb";
import { votesOf } from "./said";

export interface HitActs {
  open: (id: string) => void;
  weigh: (hit: Hit, weight: number) => void;
  keep: (id: string) => void;
}

/** Hits whose pictures are fetched before anything else. */
export const FIRST = 8;

interface HitCardProps {
  hit: Hit;
  place: number | null;
  answer: SearchAnswer;
  selected: boolean;
  kept: boolean;
  acts: HitActs;
}

/**
 * One neighbour: its picture, how near, what it is, what tells it from the query. It is drawn again
 * when something of it changes, not whenever the view does.
 */
export const HitCard = memo(function HitCard(props: HitCardProps) {
  const { hit, place, answer, selected, kept, acts } = props;
  const t = useWords();
  const name = imageName(hit);
  return (
    <li className={`hit${selected ? " selected" : ""}${kept ? " kept" : ""}`}>
      <button
        type="button"
        className="open"
        data-hit={hit.id}
        aria-expanded={selected}
        onClick={() => acts.open(hit.id)}
      >
        <Thumb id={hit.id} first={place === null || place <= FIRST} />
        <span className="hit-body">
          <Nearness hit={hit} place={place} />
          <span className="hit-name" title={name}>
            {name || shortUid(hit.study_instance_uid)}
          </span>
          <span className="hit-who">
            {parts(who(hit.sex, hit.age_years), hit.study_date) || "—"}
            {hit.more > 0 && <span title={t.andMoreTitle(hit.more)}> {t.andMore(hit.more)}</span>}
          </span>
          {hit.match && (
            <span className="hit-match">{t.matchedSlice(hit.match.number, hit.match.of)}</span>
          )}
          <Labels hit={hit} answer={answer} />
          <Differing hit={hit} t={t} />
          {hit.snippet && <span className="snippet">{hit.snippet}</span>}
        </span>
      </button>
      <div className="hit-acts">
        {act("plus", t.moreLike, () => acts.weigh(hit, 1))}
        {act("minus", t.lessLike, () => acts.weigh(hit, -1))}
        {act("pin", kept ? t.unkeep : t.keep, () => acts.keep(hit.id), kept)}
      </div>
    </li>
  );
});

function act(icon: IconName, label: string, run: () => void, pressed?: boolean) {
  return (
    <button type="button" title={label} aria-label={label} aria-pressed={pressed} onClick={run}>
      <Icon name={icon} size={16} />
    </button>
  );
}

/** How near, as a share of random pairs where that is known, else the score as it is. */
export function Nearness({ hit, place }: { hit: Hit; place: number | null }) {
  const t = useWords();
  const { language } = useSettings();
  const share = hit.evidence?.percentile;
  const known = share !== null && share !== undefined;
  return (
    <span
      className="near"
      title={
        known
          ? t.closerTitle(percentile(share, language), count(hit.evidence?.pairs ?? 0, language))
          : undefined
      }
    >
      {place !== null && <span className="place">{place}</span>}
      <span className="near-words">
        {known ? t.closer(percentile(share, language)) : t.score(decimal(hit.score, 3, language))}
      </span>
      {known && (
        <span className="near-bar" aria-hidden="true">
          <span style={{ width: `${share}%` }} />
        </span>
      )}
    </span>
  );
}

/** Values of labels; those that the vote names first are told apart. */
export function Labels({ hit, answer }: { hit: Hit; answer: SearchAnswer }) {
  const values = [...new Set(Object.values(hit.labels).flat())];
  const voted = new Set(votedFirst(answer));
  if (!values.length) return null;
  return (
    <span className="labels">
      {values.slice(0, 4).map((value) => (
        <span key={value} className={voted.has(value) ? "label voted" : "label"}>
          {plain(value)}
        </span>
      ))}
      {values.length > 4 && <span className="label">+{values.length - 4}</span>}
    </span>
  );
}

/** The value of each label that has most of the votes. */
function votedFirst(answer: SearchAnswer): string[] {
  const first = new Map<string, { value: string; share: number }>();
  for (const { name, value, share } of votesOf(answer))
    if (share > (first.get(name)?.share ?? 0)) first.set(name, { value, share });
  return [...first.values()].map((each) => each.value);
}

const QUIET = new Set(["series_description", "study_description", "model", "kind"]);

function Differing({ hit, t }: { hit: Hit; t: Messages }) {
  const fields = Object.entries(hit.evidence?.differing ?? {}).filter(
    ([field]) => !QUIET.has(field) && !field.startsWith("label:"),
  );
  if (!fields.length) return null;
  return (
    <span className="differing">
      {fields.slice(0, 3).map(([field, [mine, its]]) => (
        <span
          key={field}
          title={`${fieldName(field, t)}: ${valueName(field, mine, t)} → ${valueName(field, its, t)}`}
        >
          ≠ {fieldName(field, t)}
        </span>
      ))}
      {fields.length > 3 && <span>+{fields.length - 3}</span>}
    </span>
  );
}
