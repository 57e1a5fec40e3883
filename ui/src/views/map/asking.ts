import { useMemo } from "react";
import * as client from "../../api/client";
import * as api from "../../api/map";
import { type Asked, useAsked } from "../../lib/ask";
import type { Messages } from "../../lib/messages";
import { fieldName } from "../../lib/names";
import type { MapState } from "./state";

/** By what a map can be coloured. */
export interface Choices {
  fields: string[];
  runs: string[];
  references: string[];
}

/** What there is to choose from: spaces, and maps of the one that was chosen. */
export interface Ground {
  spaces: string[];
  maps: api.MapTold[];
  choices: Choices;
}

export function useGround(encoder: string, round: number): Asked<Ground> {
  return useAsked(`map ground ${encoder} ${round}`, async (signal) => {
    const [spaces, maps, runs, references, facets] = await Promise.all([
      api.spaces(signal),
      api.maps(encoder, signal).catch(none),
      api.runs(signal),
      client.references(signal),
      client.facets("", signal),
    ]);
    const mine = encoder || maps.at(-1)?.encoder || spaces[0]?.encoder || "";
    const own = <T extends { encoder: string; name: string }>(all: readonly T[]) =>
      all.filter((each) => each.encoder === mine).map((each) => each.name);
    return {
      spaces: [...new Set(spaces.map((space) => space.encoder))],
      maps,
      choices: {
        // A point has one value of each: not of words.
        fields: facets.facets.map((facet) => facet.field).filter((field) => field !== "word"),
        // Any clustering of the library can be shown, those of this space first.
        runs: [...new Set([...own(runs).reverse(), ...runs.map((run) => run.name)])],
        references: references.map((reference) => reference.name),
      },
    };
  });
}

/** A library without any space has no maps: no error, an empty state. */
function none(error: unknown): api.MapTold[] {
  if (error instanceof client.Problem && error.status === 422) return [];
  throw error;
}

/** The colour that an address without one means: the newest clustering, else the modality. */
export function colourOf(state: MapState, choices: Choices): string {
  if (state.colour) return state.colour;
  const [run] = choices.runs;
  return run === undefined ? "field:modality" : `cluster:${run}`;
}

export function colourName(colour: string, t: Messages): string {
  const [kind = "", name = ""] = colour.split(/:(.*)/s);
  return kind === "field" ? fieldName(name, t) : name;
}

/** Where the points lie, with the ids of their items, which may come later. */
export interface Placed {
  points: Asked<Float32Array>;
  ids: Asked<string[]>;
}

export function usePlaced(map: api.MapTold | undefined): Placed {
  const key = map ? mapKey(map) : null;
  const points = useAsked(key && `map points ${key}`, (signal) => api.points(whichOf(map), signal));
  const ids = useAsked(points.data && key ? `map items ${key}` : null, async (signal) => {
    const told = await api.mapItems(whichOf(map), signal);
    return told.items;
  });
  return { points, ids };
}

/** Another one whenever there are other points. */
export const mapKey = (map: api.MapTold): string =>
  `${map.encoder} ${map.version} ${map.points} ${map.created_at}`;

export const whichOf = (map: api.MapTold | undefined): api.Which => ({
  encoder: map?.encoder ?? "",
  version: map?.version ?? null,
});

export function useValues(
  map: api.MapTold | undefined,
  colour: string,
  round: number,
): Asked<api.Values> {
  const key = map && colour && colour !== "none" ? `${mapKey(map)} ${colour} ${round}` : null;
  return useAsked(key && `map values ${key}`, (signal) => api.values(whichOf(map), colour, signal));
}

export interface Masks {
  filter: Asked<Uint8Array>;
  since: Asked<Uint8Array>;
}

export function useMasks(map: api.MapTold | undefined, state: MapState, round: number): Masks {
  const key = map ? `${mapKey(map)} ${round}` : "";
  const { filter, since } = state;
  return {
    filter: useAsked(map && filter ? `map mask ${key} ${filter}` : null, (signal) =>
      api.mask(whichOf(map), { filter, since: "" }, signal),
    ),
    since: useAsked(map && since ? `map since ${key} ${since}` : null, (signal) =>
      api.mask(whichOf(map), { filter: "", since }, signal),
    ),
  };
}

/** Whether a point is in a mask of bits. */
export const bit = (mask: Uint8Array, at: number): boolean =>
  (((mask[at >> 3] ?? 0) >> (at & 7)) & 1) === 1;

/** The names of the values of a legend as a person reads them. */
export function useStable<T>(value: T): T {
  const said = JSON.stringify(value);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the same said is the same
  return useMemo(() => value, [said]);
}
