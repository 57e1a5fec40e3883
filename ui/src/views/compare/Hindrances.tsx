import { useWords, useWordsOf } from "../../lib/settings";
import { Notice, ProblemNotice } from "../../parts/Notice";
import { isThere } from "./asking";
import type { Comparison } from "./comparison";
import type { CompareState } from "./state";
import { WORDS } from "./words";

interface HindrancesProps {
  state: CompareState;
  found: Comparison;
  onFirst: () => void;
}

/** What stands in the way, each with the way on. */
export function Hindrances(props: HindrancesProps) {
  const { state, found } = props;
  const t = useWords();
  const { source, sides, matching, dropped, frame } = found;
  return (
    <div className="compare-notices">
      {found.hindrance === "files" && (
        <Notice kind="warn" title={t.fileGoneTitle}>
          {t.fileGoneText}
        </Notice>
      )}
      {found.hindrance === "unlike" && (
        <Notice kind="info" title={t.onlyUnlike}>
          {t.onlyUnlikeText}
        </Notice>
      )}
      {source.slow && (
        <Notice
          kind="info"
          title={t.slow}
          actions={
            <button type="button" className="button" onClick={source.stop}>
              {t.stop}
            </button>
          }
        />
      )}
      {source.error && <ProblemNotice problem={source.error} retry={source.retry} />}
      {sides.ours.error && <ProblemNotice problem={sides.ours.error} retry={sides.ours.retry} />}
      {sides.theirs.error && (
        <ProblemNotice problem={sides.theirs.error} retry={sides.theirs.retry} />
      )}
      {dropped.error && <ProblemNotice problem={dropped.error} retry={dropped.retry} />}
      {frame.error && frame.error !== dropped.error && (
        <ProblemNotice problem={frame.error} retry={frame.retry} />
      )}
      {state.overlay && matching.error && (
        <ProblemNotice problem={matching.error} retry={matching.retry} />
      )}
      <Missing {...props} />
    </div>
  );
}

/** Nothing there, one alone, or one that the search does not find any more. */
function Missing({ state, found, onFirst }: HindrancesProps) {
  const words = useWordsOf(WORDS);
  if (found.source.loading || found.source.error) return null;
  const toSearch = (
    <a className="button accent" href="#/search">
      {words.toSearch}
    </a>
  );
  if (!isThere(found.left) && !found.right)
    return (
      <Notice kind="info" title={words.emptyTitle} actions={toSearch}>
        {words.emptyText}
      </Notice>
    );
  if (!found.right && !state.region)
    return <Notice kind="info" title={words.oneKept} actions={toSearch} />;
  if (found.right && !found.candidate && found.candidates.length)
    return (
      <Notice
        kind="info"
        title={words.noHit}
        actions={
          <button type="button" className="button" onClick={onFirst}>
            {words.first}
          </button>
        }
      >
        {words.noHitText}
      </Notice>
    );
  return null;
}
