import { useEffect, useRef, useState } from "react";
import type { Cluster, Member } from "../../api/clusters";
import * as api from "../../api/clusters";
import { useKeys } from "../../lib/keys";
import { go } from "../../lib/route";
import { useWordsOf } from "../../lib/settings";
import { Notice, ProblemNotice } from "../../parts/Notice";
import { focused } from "../search/moving";
import { Look } from "./Look";
import { MemberBlock, MemberBones } from "./MemberBlock";
import { usePages } from "./pages";
import { Send } from "./Send";
import { ALL, isNone, NONE, ranged, toggled } from "./selection";
import { type ClustersState, SORTS } from "./state";
import { WORDS } from "./words";

const PAGE = 100;

interface MembersProps {
  run: string;
  cluster: Cluster;
  state: ClustersState;
  update: (change: Partial<ClustersState>, how?: "push" | "replace") => void;
}

/** All that is in a cluster, page by page as it is scrolled to; to be chosen, and sent elsewhere. */
export function Members({ run, cluster, state, update }: MembersProps) {
  const w = useWordsOf(WORDS);
  const [selection, select] = useState(NONE);
  const number = cluster.cluster;
  const { sort } = state;
  const list = usePages<Member>(`members ${run} ${number} ${sort}`, (cursor, signal) =>
    api.members({ run, number, sort, cursor, limit: PAGE }, signal),
  );
  const order = list.pages.flat();
  const find = (id: string | undefined) => order.find((each) => each.id === id);
  const choose = (id: string, range: boolean) =>
    select((now) =>
      range
        ? ranged(
            now,
            id,
            order.map((each) => each.id),
          )
        : toggled(now, id),
    );
  const onFocused = (act: (id: string) => void) => () => {
    const id = find(focused())?.id;
    if (id) act(id);
  };
  const search = (id: string) => {
    const study = find(id)?.study_instance_uid;
    if (study) go({ view: "search", params: new URLSearchParams({ study }) });
  };
  useKeys(
    {
      x: onFocused((id) => choose(id, false)),
      X: onFocused((id) => choose(id, true)),
      a: () => select(ALL),
      s: onFocused(search),
      Escape: () => select(NONE),
    },
    !state.item,
  );
  return (
    <section className="members" aria-label={w.members}>
      <Send
        run={run}
        cluster={cluster}
        selection={selection}
        onAll={() => select(ALL)}
        onClear={() => select(NONE)}
      >
        <label className="pick">
          <span className="sr">{w.sort}</span>
          <select
            value={sort}
            onChange={(event) =>
              update({ sort: SORTS.find((each) => each === event.target.value) ?? sort }, "replace")
            }
          >
            {SORTS.map((each) => (
              <option key={each} value={each}>
                {w.sorts[each]}
              </option>
            ))}
          </select>
        </label>
      </Send>
      {list.pages.map((rows, at) => (
        <MemberBlock
          key={`${sort} ${rows[0]?.id ?? at}`}
          rows={rows}
          selection={selection}
          onChoose={choose}
          onLook={(item) => update({ item })}
          onSearch={search}
        />
      ))}
      {list.error && <ProblemNotice problem={list.error} retry={list.retry} />}
      {!list.more && !order.length && <Notice kind="info" title={w.nobody} />}
      {list.more && !list.error && <More loading={list.loading} next={list.next} />}
      {state.item && (
        <Look
          id={state.item}
          order={order.map((each) => each.id)}
          chosen={!isNone(selection) && (selection.all || selection.ids.has(state.item))}
          onChoose={() => choose(state.item, false)}
          onGo={(item) => update({ item }, "replace")}
          onClose={() => update({ item: "" })}
        />
      )}
    </section>
  );
}

/** Asks for the next page when the end of the list comes near. */
function More({ loading, next }: { loading: boolean; next: () => void }) {
  const mark = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const element = mark.current;
    if (!element || loading) return;
    const watch = new IntersectionObserver(
      ([entry]) => {
        if (entry?.isIntersecting) next();
      },
      { rootMargin: "900px" },
    );
    watch.observe(element);
    return () => watch.disconnect();
  }, [loading, next]);
  return (
    <div ref={mark} aria-busy={loading}>
      {loading && <MemberBones count={12} />}
    </div>
  );
}
