import { useState } from "react";
import type { Problem } from "../../api/client";
import type { ItemHeat, Reference } from "../../api/qa";
import * as api from "../../api/qa";
import { type Asked, useAsked } from "../../lib/ask";
import { useKeys } from "../../lib/keys";
import { useWordsOf } from "../../lib/settings";
import { Viewer } from "../../parts/Viewer";
import { FitPatches } from "./FitPatches";
import { sentence, share } from "./figures";
import type { Image } from "./images";
import { WORDS } from "./words";

interface PictureProps {
  image: Image | undefined;
  reference: Reference;
  /** Why the study cannot be told; the picture may still be drawn. */
  failed: Problem | undefined;
}

/** The picture, and over it where it is unlike the reference. */
export function Picture({ image, reference, failed }: PictureProps) {
  const [on, setOn] = useState(true);
  const [opacity, setOpacity] = useState(0.7);
  const fitted = reference.heat !== null;
  const id = image?.id ?? "";
  const heat = useAsked(fitted && id ? `heat ${reference.name} ${id}` : null, (signal) =>
    api.heatFigures(id, reference.name, signal),
  );
  const figures = heat.data?.item === id ? heat.data : undefined;
  const change = (by: number) => setOpacity((now) => Math.min(1, Math.max(0.1, now + by)));
  useKeys({ h: () => setOn(!on), "[": () => change(-0.1), "]": () => change(0.1) });

  const waits = !image || (image.slices === undefined && !failed) || (fitted && heat.loading);
  const slices = image?.slices ?? 1;
  const odd = figures?.slice_number ?? null;
  const over = (slice: number) =>
    on && figures && (odd === null || odd === slice) ? (
      <img
        className="heat"
        src={api.heatUrl(id, reference.name)}
        alt=""
        draggable={false}
        style={{ opacity }}
      />
    ) : null;
  return (
    <div className="qa-picture">
      {waits ? (
        <div className="viewer">
          <div className="screen bone" />
          <div className="viewer-tools" />
        </div>
      ) : (
        <Viewer
          key={id}
          frame={{
            id,
            modality: image.modality,
            slices,
            slice: odd ?? Math.ceil(slices / 2),
          }}
          over={over}
          resetKey="0"
        />
      )}
      {fitted ? (
        <HeatTools
          heat={heat}
          figures={figures}
          on={on}
          opacity={opacity}
          onSwitch={() => setOn(!on)}
          onOpacity={setOpacity}
        />
      ) : (
        <FitPatches reference={reference} />
      )}
    </div>
  );
}

interface HeatToolsProps {
  heat: Asked<ItemHeat>;
  figures: ItemHeat | undefined;
  on: boolean;
  opacity: number;
  onSwitch: () => void;
  onOpacity: (value: number) => void;
}

function HeatTools({ heat, figures, on, opacity, onSwitch, onOpacity }: HeatToolsProps) {
  const w = useWordsOf(WORDS);
  if (heat.error)
    return (
      <p className="heat-words" role="status">
        {w.heatFails}: {sentence(heat.error.message)}
      </p>
    );
  return (
    <div className="heat-tools">
      <label className="pick">
        <input type="checkbox" checked={on} onChange={onSwitch} /> {w.heat} <kbd>h</kbd>
      </label>
      <label className="pick">
        {w.opacity}
        <input
          type="range"
          min={0.1}
          max={1}
          step={0.05}
          value={opacity}
          onChange={(event) => onOpacity(Number(event.target.value))}
        />
      </label>
      <span className="heat-scale">
        <span className="heat-ramp" aria-hidden="true" />
        {w.heatLegend}
      </span>
      <p className="heat-words">
        {figures ? (
          <>
            {w.heatSays(
              share(figures.unlike_share),
              share(figures.p_value),
              String(figures.usual_pictures),
            )}{" "}
            {figures.slice_number !== null &&
              `${w.heatSlice(figures.slice_number, figures.slices)}. `}
            {figures.notes.map(sentence).join(" ")}
          </>
        ) : (
          <span className="bone" />
        )}
      </p>
    </div>
  );
}
