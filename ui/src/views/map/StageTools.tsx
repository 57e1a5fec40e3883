import { useWordsOf } from "../../lib/settings";
import { Icon } from "../../parts/Icon";
import { Notice } from "../../parts/Notice";
import type { Trouble } from "./plotting";
import { WORDS } from "./words";

interface ZoomProps {
  onZoom: (factor: number) => void;
  onFit: () => void;
}

export function ZoomButtons({ onZoom, onFit }: ZoomProps) {
  const t = useWordsOf(WORDS);
  return (
    <div className="map-zoom">
      {button("plus", t.zoomIn, () => onZoom(1.5))}
      {button("minus", t.zoomOut, () => onZoom(1 / 1.5))}
      {button("fit", t.fit, onFit)}
    </div>
  );
}

function button(icon: "plus" | "minus" | "fit", title: string, act: () => void) {
  return (
    <button type="button" className="button small" title={title} aria-label={title} onClick={act}>
      <Icon name={icon} size={16} />
    </button>
  );
}

/** That it is drawn without WebGL, or not at all. */
export function DrawingTrouble({ trouble, again }: { trouble: Trouble; again: () => void }) {
  const t = useWordsOf(WORDS);
  if (!trouble) return null;
  const retry = (
    <button type="button" className="button small" onClick={again}>
      {t.glAgain}
    </button>
  );
  const title = { none: t.noCanvas, lost: t.glLost, absent: t.glAbsent }[trouble];
  return (
    <div className="map-trouble">
      <Notice kind="warn" title={title} actions={trouble !== "none" && retry}>
        {trouble === "none" ? t.noCanvasText : t.glText}
      </Notice>
    </div>
  );
}
