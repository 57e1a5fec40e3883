import { client, type Schemas, told } from "./client";

export type Matched = Schemas["Matched"];
export type MatchedSide = Schemas["MatchedSide"];
export type Frame = Schemas["FrameTold"];
export type RegionFound = Schemas["RegionFound"];
export type RegionsFound = Schemas["RegionsFound"];

/** Where two items are alike, place by place. */
export const matching = (uid: string, hit: string, signal: AbortSignal): Promise<Matched> =>
  told(
    client.GET("/v1/items/{uid}/matching", {
      params: { path: { uid }, query: { with: hit } },
      signal,
    }),
  );

/** The size of an item's image, or of its slices. */
export const frame = (uid: string, signal: AbortSignal): Promise<Frame> =>
  told(client.GET("/v1/items/{uid}/frame", { params: { path: { uid } }, signal }));

/** Images that have something like a part of an item's picture. */
export const searchRegion = async (
  body: Omit<Schemas["RegionSearchAsked"], "encoder">,
  signal: AbortSignal,
): Promise<RegionsFound> =>
  // (the client's own type of the answer makes lists of tuples)
  (await told(
    client.POST("/v1/search/region", { body: { ...body, encoder: null }, signal }),
  )) as RegionsFound;
