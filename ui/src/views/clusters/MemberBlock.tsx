import { useEffect, useRef, useState } from "react";
import type { Member } from "../../api/clusters";
import { parts, plain, who } from "../../lib/format";
import { imageName } from "../../lib/names";
import { useWordsOf } from "../../lib/settings";
import { Icon } from "../../parts/Icon";
import { Thumb } from "../../parts/Thumb";
import { part } from "./names";
import { isChosen, type Selection } from "./selection";
import { WORDS } from "./words";

interface BlockProps {
  rows: Member[];
  selection: Selection;
  onChoose: (id: string, range: boolean) => void;
  onLook: (id: string) => void;
  onSearch: (id: string) => void;
}

/** A page of members; while it is far from sight only its height is there. */
export function MemberBlock({ rows, ...acts }: BlockProps) {
  const list = useRef<HTMLUListElement>(null);
  const [near, setNear] = useState(true);
  const [height, setHeight] = useState(0);
  useEffect(() => {
    const element = list.current;
    if (!element) return;
    const watch = new IntersectionObserver(
      ([entry]) => {
        if (!entry) return;
        // Of what is drawn the height is known; what has the focus stays drawn.
        if (!entry.isIntersecting) setHeight(element.offsetHeight);
        setNear(entry.isIntersecting || element.contains(document.activeElement));
      },
      { rootMargin: "1400px" },
    );
    watch.observe(element);
    return () => watch.disconnect();
  }, []);
  return (
    <ul
      ref={list}
      className="hits tiles member-block"
      style={near ? undefined : { height: `${height}px` }}
    >
      {near && rows.map((member) => <MemberTile key={member.id} member={member} {...acts} />)}
    </ul>
  );
}

interface TileProps extends Omit<BlockProps, "rows"> {
  member: Member;
}

function MemberTile({ member, selection, onChoose, onLook, onSearch }: TileProps) {
  const w = useWordsOf(WORDS);
  const chosen = isChosen(selection, member.id);
  const name = tileName(member);
  const told = parts(who(member.sex, member.age_years), member.study_date);
  return (
    <li className={chosen ? "hit member selected" : "hit member"}>
      <button
        type="button"
        className="open"
        data-hit={member.id}
        aria-pressed={chosen}
        onClick={(event) => onChoose(member.id, event.shiftKey)}
        onDoubleClick={() => onLook(member.id)}
        onKeyDown={(event) => {
          if (event.key !== "Enter") return;
          event.preventDefault();
          onLook(member.id);
        }}
      >
        <Thumb id={member.id} />
        {chosen && (
          <span className="tick">
            <Icon name="check" size={14} />
          </span>
        )}
        <span className="hit-body">
          <span className="hit-name" title={name}>
            {name}
          </span>
          <span className="hit-who">{told || "—"}</span>
          <span className="near-bar" title={w.confidenceOf(part(member.confidence))}>
            <span style={{ width: `${100 * member.confidence}%` }} />
          </span>
          <span className="sr">{w.confidenceOf(part(member.confidence))}</span>
        </span>
      </button>
      <div className="hit-acts">
        <button type="button" title={w.look} aria-label={w.look} onClick={() => onLook(member.id)}>
          <Icon name="picture" size={16} />
        </button>
        <button
          type="button"
          title={w.likeThis}
          aria-label={w.likeThis}
          onClick={() => onSearch(member.id)}
        >
          <Icon name="search" size={16} />
        </button>
      </div>
    </li>
  );
}

/** What tells one member from the next: its labels, where it has any. */
const tileName = (member: Member): string =>
  plain(Object.values(member.labels).flat().join(", ")) || imageName(member);

export function MemberBones({ count }: { count: number }) {
  return (
    <ul className="hits tiles" aria-hidden="true">
      {Array.from({ length: count }, (_, at) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: they are all alike
        <li key={at} className="hit member">
          <span className="thumb bone" />
          <span className="hit-body">
            <span className="bone" />
            <span className="bone short" />
          </span>
        </li>
      ))}
    </ul>
  );
}
