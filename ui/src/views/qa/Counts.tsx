import type { Schemas } from "../../api/client";
import type { Reference } from "../../api/qa";
import { count } from "../../lib/format";
import { useSettings, useWordsOf } from "../../lib/settings";
import { Notice } from "../../parts/Notice";
import { outOf, share } from "./figures";
import { leastAlarm } from "./report";
import { WORDS } from "./words";

interface CountsProps {
  counts: Schemas["ScoreCounts"] | undefined;
  reference: Reference;
}

/** How much was judged, flagged, decided; and what the rate means, in plain words. */
export function Counts({ counts, reference }: CountsProps) {
  const w = useWordsOf(WORDS);
  const { language } = useSettings();
  const { n, of } = outOf(reference.alarm);
  const said = (value: number | undefined) =>
    value === undefined ? <span className="bone" /> : count(value, language);
  return (
    <div className="counts">
      <dl>
        <div>
          <dt>{w.studiesJudged}</dt>
          <dd>{said(counts?.studies)}</dd>
        </div>
        <div>
          <dt>{w.flagged}</dt>
          <dd>
            {said(counts?.flagged)}
            {counts && counts.studies > 0 && (
              <small>{share(counts.flagged / counts.studies)}</small>
            )}
          </dd>
        </div>
        <div className={counts?.open ? "due" : ""}>
          <dt>{w.toReview}</dt>
          <dd>{said(counts?.open)}</dd>
        </div>
        <div>
          <dt>{w.accepted}</dt>
          <dd>{said(counts?.accepted)}</dd>
        </div>
        <div>
          <dt>{w.rejected}</dt>
          <dd>{said(counts?.rejected)}</dd>
        </div>
      </dl>
      <p>
        {w.usualFlagged(count(n, language), count(of, language))}
        {counts &&
          counts.studies > 0 &&
          `: ${w.expected(count(Math.round(counts.studies * reference.alarm), language))}`}
        .
      </p>
    </div>
  );
}

/** A warning where a reference has too few cases to flag anything at the rate that was declared. */
export function TooSmall({ reference }: { reference: Reference }) {
  const w = useWordsOf(WORDS);
  const least = leastAlarm(reference);
  if (least <= reference.alarm) return null;
  return (
    <Notice kind="warn" title={w.tooSmall}>
      {w.tooSmallText(share(reference.alarm), share(least))}
    </Notice>
  );
}
