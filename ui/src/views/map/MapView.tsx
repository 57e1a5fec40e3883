import { useEffect, useMemo, useReducer, useRef, useState } from "react";
import { useKeySheet, useKeys } from "../../lib/keys";
import { go } from "../../lib/route";
import { useSettings, useWords, useWordsOf } from "../../lib/settings";
import { Notice, ProblemNotice } from "../../parts/Notice";
import "../../style/map.css";
import { About } from "./About";
import {
  colourName,
  colourOf,
  useGround,
  useMasks,
  usePlaced,
  useStable,
  useValues,
} from "./asking";
import { Bar } from "./Bar";
import { Chosen } from "./Chosen";
import { pointingAt, stands, useChoosing } from "./choosing";
import { UNKNOWN } from "./colours";
import { Details } from "./Details";
import { NONE, simplified, towards } from "./geometry";
import { Legend } from "./Legend";
import { Making } from "./Making";
import { useColouring, useLabels } from "./naming";
import { Stage, type StageActs } from "./Stage";
import { formatMap, type MapState, MOST_CORNERS, narrowed, parseMap } from "./state";
import { visit } from "./visit";
import { WORDS } from "./words";

/** A whole space at once; what is shown follows from the address. */
export function MapView({ params }: { params: URLSearchParams }) {
  const t = useWordsOf(WORDS);
  const words = useWords();
  const { theme } = useSettings();
  const told = useMemo(() => parseMap(params), [params]);
  const state = { ...told, legend: useStable(told.legend), lasso: useStable(told.lasso) };
  const [round, again] = useReducer((n: number) => n + 1, 0);
  const [lastVisit] = useState(visit);

  const ground = useGround(state.encoder, round);
  const maps = ground.data?.maps ?? [];
  const map = maps.find(({ version }) => version === state.version) ?? maps.at(-1);
  const colour = ground.data ? colourOf(state, ground.data.choices) : "";
  const { points, ids } = usePlaced(map);
  const values = useValues(map, colour, round);
  const masks = useMasks(map, state, round);
  const colouring = useColouring(points.data, colour, values, theme);
  const labels = useLabels(points.data, colour, colouring, state.legend);
  const { styles, chosen } = useChoosing(points.data, colouring, state, masks);

  const [pointed, setPointed] = useState<{ at: number; peek: boolean }>(NOTHING);
  const [row, setRow] = useState(NONE);
  const [drawing, setDrawing] = useState(false);
  const acts = useRef<StageActs>(null);
  const field = useRef<HTMLInputElement>(null);
  const colourField = useRef<HTMLSelectElement>(null);
  const dressed = useMemo(() => pointingAt(styles, row), [styles, row]);
  const opened = state.item ? (ids.data?.indexOf(state.item) ?? NONE) : NONE;

  function update(change: Partial<MapState>, how: "push" | "replace" = "push"): void {
    go({ view: "map", params: formatMap({ ...state, ...change }) }, how);
  }
  const idOf = (at: number) => ids.data?.[at] ?? "";
  const open = (at: number) => update({ item: at === NONE ? "" : idOf(at) });
  const clear = () =>
    update({ filter: "", since: "", lasso: [], legend: { only: false, keys: [] } });
  function choose(corners: MapState["lasso"]): void {
    setDrawing(false);
    if (corners.length >= 3) update({ lasso: simplified(corners, MOST_CORNERS), item: "" });
  }
  function walk(dx: number, dy: number): void {
    if (!points.data || !chosen.length) return;
    const from = pointed.at !== NONE ? pointed.at : opened;
    const met = (at: number) => stands(styles[at] ?? 0);
    const next = from === NONE ? middle(chosen) : towards(points.data, met, from, dx, dy);
    if (next === NONE) return;
    setPointed({ at: next, peek: true });
    acts.current?.reveal(next);
  }
  function leave(): void {
    if (drawing) setDrawing(false);
    else if (state.item) update({ item: "" });
    else if (pointed.at !== NONE) setPointed(NOTHING);
    else if (state.lasso.length) update({ lasso: [] });
  }
  const point = () => (pointed.at === NONE ? opened : pointed.at);
  useKeys({
    ArrowRight: () => walk(1, 0),
    ArrowLeft: () => walk(-1, 0),
    ArrowUp: () => walk(0, -1),
    ArrowDown: () => walk(0, 1),
    ...(pointed.at !== NONE && onStage() && { Enter: () => open(pointed.at) }),
    s: () => {
      const id = idOf(point());
      if (id) go({ view: "search", params: new URLSearchParams({ item: id }) });
    },
    "+": () => acts.current?.zoom(1.5),
    "-": () => acts.current?.zoom(1 / 1.5),
    "0": () => acts.current?.fit(),
    l: () => setDrawing(!drawing),
    v: () => choose(acts.current?.corners() ?? []),
    x: clear,
    "/": () => field.current?.focus(),
    c: () => colourField.current?.focus(),
    Escape: leave,
  });
  useKeySheet(t.sheet);

  // What was pointed at may not be there any more.
  // biome-ignore lint/correctness/useExhaustiveDependencies: other points are other numbers
  useEffect(() => setPointed(NOTHING), [points.data]);

  const filterError = masks.filter.error?.code === "filter" ? masks.filter.error : undefined;
  const wrong = [ground, points, ids, values, masks.filter, masks.since].find(
    (asked) => asked.error && asked.error !== filterError,
  );
  const waits = ground.loading || points.loading || values.loading;
  const hereRow = opened === NONE ? undefined : colouring.rows[colouring.codes[opened] ?? 0];
  const name = colour === "none" || !colour ? t.legend : colourName(colour, words);
  const title = colour.startsWith("score:") ? t.pOf(name) : name;
  const nothing = colour.startsWith("score:") && colouring.rows.every(({ key }) => key === UNKNOWN);
  const hint = nothing
    ? t.noScores(name)
    : colour.startsWith("score:")
      ? t.pHint
      : colouring.rows.length === 1 && colouring.rows[0]?.key === UNKNOWN
        ? t.nothingKnown
        : "";
  const failed = wrong?.error && <ProblemNotice problem={wrong.error} retry={wrong.retry} />;

  if (ground.data && !map)
    return (
      <main id="main" tabIndex={-1} className="map-none">
        <h1>{ground.data.spaces.length ? t.noMap : t.noSpace}</h1>
        <p>{ground.data.spaces.length ? t.noMapText : t.noSpaceDo}</p>
        {ground.data.spaces.length > 0 && (
          <Making
            kind="map"
            which={{ encoder: state.encoder, version: null }}
            label={t.makeMap}
            onMade={again}
          />
        )}
      </main>
    );
  return (
    <div className={`map-view${state.item || narrowed(state) ? " with-side" : ""}`}>
      <Bar
        state={state}
        ground={ground.data}
        map={map}
        colour={colour}
        lastVisit={lastVisit}
        drawing={drawing}
        filterError={filterError}
        field={field}
        colourField={colourField}
        onChange={update}
        onDrawing={() => setDrawing(!drawing)}
        onView={() => choose(acts.current?.corners() ?? [])}
      />
      <main id="main" tabIndex={-1} aria-busy={waits}>
        <h1 className="sr">{words.map}</h1>
        {failed && <div className="map-trouble">{failed}</div>}
        {points.data?.length === 0 ? (
          <div className="map-none">
            <Notice kind="info" title={t.emptyMap}>
              {t.emptyMapText}
            </Notice>
            {map && <Making kind="map" which={{ ...map }} label={t.again} onMade={again} />}
          </div>
        ) : points.data ? (
          <Stage
            acts={acts}
            points={points.data}
            styles={dressed}
            rows={colouring.rows}
            met={(at) => (styles[at] ?? 0) !== 0}
            labels={labels}
            lasso={state.lasso}
            drawing={drawing}
            camera={state.camera}
            pointed={pointed.at}
            peek={pointed.peek && pointed.at !== opened ? idOf(pointed.at) : ""}
            opened={opened}
            onCamera={(camera) => update({ camera }, "replace")}
            onPoint={(at) => setPointed({ at, peek: true })}
            onOpen={open}
            onLasso={choose}
          />
        ) : (
          !failed && <div className="map-stage bone" />
        )}
      </main>
      <aside className="map-key" aria-label={t.legend}>
        <Legend
          title={title}
          rows={colouring.rows}
          state={state}
          hint={hint}
          onChange={(legend) => update({ legend })}
          onPoint={setRow}
        />
      </aside>
      <aside className="map-side" aria-label={t.details}>
        {state.item ? (
          <Details
            id={state.item}
            onMap={!ids.data || opened !== NONE}
            here={hereRow && { title, name: hereRow.name, colour: hereRow.colour }}
            onClose={() => update({ item: "" })}
          />
        ) : narrowed(state) ? (
          <Chosen
            state={state}
            chosen={chosen}
            of={map?.points ?? 0}
            ids={ids.data}
            pointed={pointed.at}
            onPoint={(at) => setPointed({ at, peek: false })}
            onOpen={open}
            onClear={clear}
            onChanged={again}
          />
        ) : (
          map && <About map={map} onMade={again} />
        )}
      </aside>
    </div>
  );
}

const NOTHING = { at: NONE, peek: false };

const middle = (chosen: Uint32Array): number => chosen[Math.floor(chosen.length / 2)] ?? NONE;

/** Whether Enter is about the map, and not about a button that has the focus. */
function onStage(): boolean {
  const { activeElement } = document;
  return !activeElement?.closest("button, a, input, select");
}
