import type { DataSet } from "../views/viewer/dataset";
import { client, told } from "./client";

/** The headers of a series, and how many of its instances could not be given. */
export interface Headers {
  instances: DataSet[];
  leftOut: number;
}

const PATH = "/dicomweb/studies/{uid}/series/{series}";

export async function headers(
  study: string,
  series: string,
  signal: AbortSignal,
): Promise<Headers> {
  const asked = client.GET(`${PATH}/metadata`, {
    params: { path: { uid: study, series } },
    headers: { Accept: "application/dicom+json" },
    signal,
  });
  const instances: DataSet[] = await told(asked);
  const warning = (await asked).response.headers.get("warning") ?? "";
  return { instances, leftOut: Number(/(\d+) instances are left out/.exec(warning)?.[1] ?? 0) };
}

/** A frame, uncompressed: its bytes are as PS3.5 section 8 has them, little endian. */
export async function frame(
  of: { study: string; series: string; instance: string; number: number },
  signal: AbortSignal,
): Promise<Uint8Array> {
  const asked = client.GET(`${PATH}/instances/{instance}/frames/{frames}`, {
    params: {
      path: {
        uid: of.study,
        series: of.series,
        instance: of.instance,
        frames: String(of.number),
      },
    },
    headers: { Accept: "application/octet-stream" },
    parseAs: "arrayBuffer",
    signal,
  });
  return new Uint8Array(await told(asked));
}
