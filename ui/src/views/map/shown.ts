import { useEffect, useReducer } from "react";
import type * as api from "../../api/map";
import type { Asked } from "../../lib/ask";
import { useSettings } from "../../lib/settings";
import { colourOf, type Ground, useGround, useMasks, usePoints, useValues } from "./asking";
import { useChoosing } from "./choosing";
import type { Colouring } from "./colours";
import type { Label } from "./geometry";
import { isOther, type PointIds, useOpened, usePointIds } from "./ids";
import { useColouring, useLabels } from "./naming";
import type { MapState } from "./state";

/** All that follows from the address and from what the service answers. */
export interface MapShown {
  ground: Asked<Ground>;
  map: api.MapTold | undefined;
  points: Asked<api.Points>;
  ids: PointIds | undefined;
  colour: string;
  colouring: Colouring;
  labels: Label[];
  styles: Uint8Array;
  chosen: Uint32Array;
  /** Position of the item that is open: `NONE` if it is not on the map, undefined if not known. */
  opened: number | undefined;
  filterError: Asked<unknown>["error"];
  /** What went wrong, but for a filter that cannot be read. */
  wrong: Asked<unknown> | undefined;
  waits: boolean;
  /** Ask again for what may have changed: labels, maps. */
  again: () => void;
}

const next = (n: number) => n + 1;

export function useMapShown(state: MapState): MapShown {
  const { theme } = useSettings();
  const [round, again] = useReducer(next, 0);
  const [other, onOther] = useReducer(next, 0);
  const ground = useGround(state.encoder, round + other);
  const maps = ground.data?.maps ?? [];
  const map = maps.find(({ version }) => version === state.version) ?? maps.at(-1);
  const colour = ground.data ? colourOf(state, ground.data.choices) : "";

  const points = usePoints(map, other);
  const { data } = points;
  const ids = usePointIds(data, onOther);
  const values = useValues(data, colour, round + other);
  const masks = useMasks(data, state, round + other);
  const { opened, asked: place } = useOpened(ids, state.item);
  useOther([values, masks.filter, masks.since], onOther);

  const colouring = useColouring(data, colour, values, theme);
  const labels = useLabels(data?.places, colour, colouring, state.legend);
  const { styles, chosen } = useChoosing(data, colouring, state, masks);
  const { error } = masks.filter;
  const filterError = error?.code === "filter" ? error : undefined;
  const wrong = [ground, points, place, values, masks.filter, masks.since].find(
    (asked) => asked.error && asked.error !== filterError && !isOther(asked.error),
  );
  const waits = ground.loading || points.loading || values.loading;
  return {
    ...{ ground, map, points, ids, colour, colouring, labels, styles, chosen, opened },
    ...{ filterError, wrong, waits, again },
  };
}

/** Where the map has got other points since they were asked for, all is asked for again. */
function useOther(asked: readonly Asked<unknown>[], onOther: () => void): void {
  const error = asked.map((each) => each.error).find(isOther);
  useEffect(() => {
    if (error) onOther();
  }, [error, onOther]);
}
