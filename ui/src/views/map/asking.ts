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

/** Where the points lie; asked for again in each round. */
export function usePoints(map: api.MapTold | undefined, round: number): Asked<api.Points> {
  const key = map ? `map points ${mapKey(map)} ${round}` : null;
  return useAsked(key, (signal) => api.points(whichOf(map), signal), true);
}

/** Another one whenever there are other points. */
export const mapKey = (map: api.MapTold): string =>
  `${map.encoder} ${map.version} ${map.points} ${map.created_at}`;

export const whichOf = (map: api.MapTold | undefined): api.Which => ({
  encoder: map?.encoder ?? "",
  version: map?.version ?? null,
});

/** What each of these points is coloured by. */
export function useValues(
  points: api.Points | undefined,
  colour: string,
  round: number,
): Asked<api.Values> {
  const asks = points && colour && colour !== "none";
  const key = asks ? `map values ${ofKey(points.of)} ${colour} ${round}` : null;
  return useAsked(key, (signal) => api.values(points?.of ?? NO_MAP, colour, signal), true);
}

export interface Masks {
  filter: Asked<api.Mask>;
  since: Asked<api.Mask>;
}

/** Which of these points pass the filter, and which came since. */
export function useMasks(
  points: api.Points | undefined,
  { filter, since }: MapState,
  round: number,
): Masks {
  const key = points ? `${ofKey(points.of)} ${round}` : "";
  const of = points?.of ?? NO_MAP;
  return {
    filter: useAsked(points && filter ? `map mask ${key} ${filter}` : null, (signal) =>
      api.mask(of, { filter, since: "" }, signal),
    ),
    since: useAsked(points && since ? `map since ${key} ${since}` : null, (signal) =>
      api.mask(of, { filter: "", since }, signal),
    ),
  };
}

const NO_MAP: api.Of = { encoder: "", version: null, tag: "" };
const ofKey = ({ encoder, version, tag }: api.Of) => `${encoder} ${version} ${tag}`;

/** Whether a point is in a mask of bits. */
export const bit = (mask: Uint8Array, at: number): boolean =>
  (((mask[at >> 3] ?? 0) >> (at & 7)) & 1) === 1;

/** The same object as long as it says the same. */
export function useStable<T>(value: T): T {
  const said = JSON.stringify(value);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the same said is the same
  return useMemo(() => value, [said]);
}
