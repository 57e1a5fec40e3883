import type { RefObject } from "react";
import { useWords, useWordsOf } from "../../lib/settings";
import { Notice, ProblemNotice } from "../../parts/Notice";
import { whichOf } from "./asking";
import type { Camera, Place } from "./camera";
import { NONE } from "./geometry";
import { Making } from "./Making";
import type { Pointing } from "./pointing";
import { Stage, type StageActs } from "./Stage";
import type { MapShown } from "./shown";
import type { MapState } from "./state";
import { WORDS } from "./words";

interface BoardProps {
  state: MapState;
  shown: MapShown;
  pointing: Pointing;
  /** How each point is drawn while a row of the legend may be pointed at. */
  dressed: Uint8Array;
  drawing: boolean;
  acts: RefObject<StageActs | null>;
  onCamera: (camera: Camera | null) => void;
  onLasso: (corners: Place[]) => void;
}

/** The middle of the view: the points, or why there are none. */
export function Board(props: BoardProps) {
  const { shown, pointing } = props;
  const words = useWords();
  const { points } = shown;
  const wrong = shown.wrong ?? pointing.wrong;
  const failed = wrong?.error && <ProblemNotice problem={wrong.error} retry={wrong.retry} />;
  return (
    <main id="main" tabIndex={-1} aria-busy={shown.waits}>
      <h1 className="sr">{words.map}</h1>
      {failed && <div className="map-trouble">{failed}</div>}
      {points.data?.places.length === 0 ? (
        <Nothing shown={shown} />
      ) : points.data ? (
        <Points {...props} places={points.data.places} />
      ) : (
        !failed && <div className="map-stage bone" />
      )}
    </main>
  );
}

function Nothing({ shown: { map, again } }: { shown: MapShown }) {
  const t = useWordsOf(WORDS);
  return (
    <div className="map-none">
      <Notice kind="info" title={t.emptyMap}>
        {t.emptyMapText}
      </Notice>
      {map && <Making kind="map" which={whichOf(map)} label={t.again} onMade={again} />}
    </div>
  );
}

function Points(props: BoardProps & { places: Float32Array }) {
  const { state, shown, pointing } = props;
  const opened = shown.opened ?? NONE;
  const peeks = pointing.peek && pointing.at !== opened && pointing.at !== NONE;
  return (
    <Stage
      acts={props.acts}
      points={props.places}
      styles={props.dressed}
      rows={shown.colouring.rows}
      met={(at) => (shown.styles[at] ?? 0) !== 0}
      labels={shown.labels}
      lasso={state.lasso}
      drawing={props.drawing}
      camera={state.camera}
      pointed={pointing.at}
      peek={peeks ? shown.ids : undefined}
      opened={opened}
      onCamera={props.onCamera}
      onPoint={(at) => pointing.point(at, true)}
      onOpen={pointing.open}
      onLasso={props.onLasso}
    />
  );
}
