import "../../style/compare.css";
import { useMemo, useState } from "react";
import { useKeySheet } from "../../lib/keys";
import { useWords, useWordsOf } from "../../lib/settings";
import { actsOf, type SideName, write } from "./acts";
import { isThere } from "./asking";
import { Bar, BareBar } from "./Bar";
import { inHu, useComparison } from "./comparison";
import { Differences, Words } from "./Differences";
import { MIDDLE, type Part } from "./geometry";
import { Hindrances } from "./Hindrances";
import { useCompareKeys, useRegionDraft } from "./keys";
import { zoomed } from "./look";
import { useLooking } from "./looking";
import type { Tool } from "./Pane";
import { Panes } from "./Panes";
import { Strip } from "./Strip";
import { type CompareState, parseCompare } from "./state";
import { Tools } from "./Tools";
import { WORDS } from "./words";

/** The query and a hit side by side; what is shown follows from the address. */
export function CompareView({ params }: { params: URLSearchParams }) {
  const told = useMemo(() => parseCompare(params), [params]);
  const [looks, setLooks] = useLooking(told, ({ ours, theirs }) =>
    write({ ...told, ours, theirs }, "replace"),
  );
  const [tool, setTool] = useState<Tool>("window");
  const [draft, setDraft] = useState<Part | undefined>();
  const [active, setActive] = useState<SideName>("theirs");
  const state: CompareState = { ...told, ours: looks.ours, theirs: looks.theirs };
  const found = useComparison(state, told.ours, tool === "region");
  const t = useWords();
  const words = useWordsOf(WORDS);
  const acts = actsOf(state, found, setLooks, active);
  const region = useRegionDraft(found, draft, setDraft, (part) => {
    acts.searchRegion(part);
    choose("window");
  });
  function choose(next: Tool): void {
    setTool(next);
    setDraft(next === "region" && isThere(found.left) ? MIDDLE : undefined);
  }
  useCompareKeys({
    acts,
    state,
    tool,
    draft,
    setDraft,
    ask: region.ask,
    active,
    setActive,
    choose,
  });
  useKeySheet(words.sheet);

  const looked = active === "ours" && isThere(found.left) ? "ours" : "theirs";
  const there = isThere(found.left) || found.right !== "" || found.source.loading;
  const asks = state.search.parts.length > 0;
  return (
    <main id="main" tabIndex={-1} className={`compare tab-${state.tab}`}>
      <h1 className={there || asks ? "sr" : "compare-title"}>{words.title}</h1>
      {there ? (
        <Bar
          state={state}
          found={found}
          onBack={acts.back}
          onStep={acts.step}
          onOf={acts.goThrough}
          onDropRegion={acts.dropRegion}
          onKeep={acts.keep}
          onTab={acts.tab}
        />
      ) : (
        asks && <BareBar onBack={acts.back} />
      )}
      <Hindrances
        state={state}
        found={found}
        onFirst={() => acts.show(found.candidates[0]?.item.id ?? "", "replace")}
      />
      {there && (
        <>
          <Tools
            tool={tool}
            link={state.link}
            volumes={found.stacks.ours > 1 && found.stacks.theirs > 1}
            overlay={state.overlay}
            look={state[looked]}
            inHu={inHu(found, looked)}
            onTool={choose}
            onLink={acts.link}
            onOverlay={acts.overlay}
            onLook={(change) => acts.look(active, change)}
            onZoom={(factor) => acts.look(active, (look) => zoomed(look, factor))}
            onReset={acts.reset}
          />
          <Panes
            state={state}
            found={found}
            tool={tool}
            draft={draft}
            active={active}
            onLook={acts.look}
            onSlice={acts.slice}
            onActive={setActive}
            onDraw={region.draw}
            onAsk={region.ask}
            onCancel={() => choose("window")}
            onPin={acts.pin}
            onMatched={acts.toMatched}
          />
          <Strip
            candidates={found.candidates}
            shown={found.right}
            loading={found.source.loading}
            onShow={(id) => acts.show(id, "push")}
          />
          <div className="compare-side">
            <Differences
              ours={found.ours}
              theirs={found.theirs}
              hit={found.candidate?.hit}
              loading={
                found.sides.theirs.loading ||
                found.sides.ours.loading ||
                (!found.right && found.source.loading)
              }
              all={state.all}
              onAll={acts.all}
            />
          </div>
          <div className="compare-reports">
            <h2>{words.reports}</h2>
            <Words side={found.ours} loading={found.sides.ours.loading} title={words.ours} />
            <Words side={found.theirs} loading={found.sides.theirs.loading} title={words.theirs} />
          </div>
        </>
      )}
      <footer>{t.research}</footer>
    </main>
  );
}
