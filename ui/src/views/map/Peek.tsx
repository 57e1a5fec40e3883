import * as api from "../../api/client";
import { useAsked } from "../../lib/ask";
import { parts, who } from "../../lib/format";
import { imageName } from "../../lib/names";
import { Thumb } from "../../parts/Thumb";
import type { Place } from "./camera";
import { type PointIds, useIds } from "./ids";

const WIDE = 172;
const HIGH = 212;
const GAP = 16;

/** The picture and name of the point that is pointed at, beside it and within the stage. */
export function Peek({
  point,
  ids,
  at: [x, y],
  width,
  height,
}: {
  point: number;
  ids: PointIds;
  at: Place;
  width: number;
  height: number;
}) {
  useIds(ids, [point]);
  const id = ids.at(point);
  const asked = useAsked(id ? `item ${id}` : null, (signal) => api.item(id ?? "", signal));
  const item = id && asked.data?.id === id ? asked.data : undefined;
  const left = x + GAP + WIDE > width ? x - GAP - WIDE : x + GAP;
  const top = Math.min(height - HIGH - 8, Math.max(8, y - HIGH / 2));
  return (
    <div className="peek" style={{ left: Math.max(8, left), top }} role="status">
      {id ? <Thumb id={id} /> : <span className="thumb bone" />}
      <strong>{item ? imageName(item) || item.kind : " "}</strong>
      <span>{item ? parts(who(item.sex, item.age_years), item.study_date) || " " : " "}</span>
    </div>
  );
}
