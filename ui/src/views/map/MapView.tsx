import { useCallback, useMemo, useRef, useState } from "react";
import { useKeySheet, useKeys } from "../../lib/keys";
import { go } from "../../lib/route";
import { useWords, useWordsOf } from "../../lib/settings";
import "../../style/map.css";
import { useStable } from "./asking";
import { Bar } from "./Bar";
import { Board } from "./Board";
import { pointingAt } from "./choosing";
import { NONE, simplified } from "./geometry";
import { Legend } from "./Legend";
import { legendTitle } from "./legends";
import { NoMap } from "./NoMap";
import { usePointing } from "./pointing";
import { Side } from "./Side";
import type { StageActs } from "./Stage";
import { useMapShown } from "./shown";
import { formatMap, type MapState, MOST_CORNERS, narrowed, parseMap } from "./state";
import { visit } from "./visit";
import { WORDS } from "./words";

/** A whole space at once; what is shown follows from the address. */
export function MapView({ params }: { params: URLSearchParams }) {
  const t = useWordsOf(WORDS);
  const words = useWords();
  const state = useMapState(params);
  const shown = useMapShown(state);
  const [lastVisit] = useState(visit);
  const [row, setRow] = useState(NONE);
  const [drawing, setDrawing] = useState(false);
  const acts = useRef<StageActs>(null);
  const field = useRef<HTMLInputElement>(null);
  const colourField = useRef<HTMLSelectElement>(null);

  const update = useUpdate(state);
  const openItem = useCallback((item: string) => update({ item }), [update]);
  const pointing = usePointing(shown, acts, openItem);
  const dressed = useMemo(() => pointingAt(shown.styles, row), [shown.styles, row]);
  const draw = () => setDrawing(!drawing);
  const clear = () =>
    update({ filter: "", since: "", lasso: [], legend: { only: false, keys: [] } });
  function choose(corners: MapState["lasso"]): void {
    setDrawing(false);
    if (corners.length >= 3) update({ lasso: simplified(corners, MOST_CORNERS), item: "" });
  }
  const chooseView = () => choose(acts.current?.corners() ?? []);
  function leave(): void {
    if (drawing) setDrawing(false);
    else if (state.item) openItem("");
    else if (pointing.at !== NONE) pointing.point(NONE, false);
    else if (state.lasso.length) update({ lasso: [] });
  }
  useKeys({
    ArrowRight: () => pointing.walk(1, 0),
    ArrowLeft: () => pointing.walk(-1, 0),
    ArrowUp: () => pointing.walk(0, -1),
    ArrowDown: () => pointing.walk(0, 1),
    ...(pointing.at !== NONE && onStage() && { Enter: () => pointing.open(pointing.at) }),
    s: pointing.search,
    "+": () => acts.current?.zoom(1.5),
    "-": () => acts.current?.zoom(1 / 1.5),
    "0": () => acts.current?.fit(),
    l: draw,
    v: chooseView,
    x: clear,
    "/": () => field.current?.focus(),
    c: () => colourField.current?.focus(),
    Escape: leave,
  });
  useKeySheet(t.sheet);

  const { ground, map, colour, colouring } = shown;
  if (ground.data && !map)
    return <NoMap ground={ground.data} encoder={state.encoder} onMade={shown.again} />;
  const { title, hint } = legendTitle(colour, colouring, t, words);
  return (
    <div className={`map-view${state.item || narrowed(state) ? " with-side" : ""}`}>
      <Bar
        {...{ state, map, colour, lastVisit, drawing, field, colourField }}
        ground={ground.data}
        filterError={shown.filterError}
        onChange={update}
        onDrawing={draw}
        onView={chooseView}
      />
      <Board
        {...{ state, shown, pointing, dressed, drawing, acts }}
        onCamera={(camera) => update({ camera }, "replace")}
        onLasso={choose}
      />
      <aside className="map-key" aria-label={t.legend}>
        <Legend
          {...{ title, hint, state }}
          rows={colouring.rows}
          onChange={(legend) => update({ legend })}
          onPoint={setRow}
        />
      </aside>
      <Side {...{ state, shown, pointing, title }} onClear={clear} onClose={() => openItem("")} />
    </div>
  );
}

function useMapState(params: URLSearchParams): MapState {
  const told = useMemo(() => parseMap(params), [params]);
  return { ...told, legend: useStable(told.legend), lasso: useStable(told.lasso) };
}

type Update = (change: Partial<MapState>, how?: "push" | "replace") => void;

/** Changes the address; the same function as long as the view is there. */
function useUpdate(state: MapState): Update {
  const now = useRef(state);
  now.current = state;
  return useCallback((change, how = "push") => {
    go({ view: "map", params: formatMap({ ...now.current, ...change }) }, how);
  }, []);
}

/** Whether Enter is about the map, and not about a button that has the focus. */
function onStage(): boolean {
  const { activeElement } = document;
  return !activeElement?.closest("button, a, input, select");
}
