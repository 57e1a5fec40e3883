import { useWordsOf } from "../../lib/settings";
import { Icon, type IconName } from "../../parts/Icon";
import type { Window } from "./frame";
import type { Tool } from "./pointing";
import type { ViewerState } from "./state";
import { WORDS } from "./words";

/** In HU, in the order of their names. */
export const PRESETS: readonly Window[] = [
  { center: 40, width: 400 },
  { center: -600, width: 1500 },
  { center: 400, width: 1800 },
  { center: 40, width: 80 },
  { center: 60, width: 160 },
];
const TOOLS: readonly [Tool, string][] = [
  ["window", "w"],
  ["pan", "p"],
  ["zoom", "z"],
  ["measure", "m"],
];

export interface Acts {
  tool: (tool: Tool) => void;
  change: (change: Partial<ViewerState>) => void;
  zoom: (by: number) => void;
  fit: () => void;
  reset: () => void;
}

interface ToolbarProps {
  state: ViewerState;
  tool: Tool;
  /** A coloured frame has no window. */
  grey: boolean;
  inHu: boolean;
  acts: Acts;
}

/** All that can be done with the picture. */
export function Toolbar({ state, tool, grey, inHu, acts }: ToolbarProps) {
  const w = useWordsOf(WORDS);
  const button = (icon: IconName, label: string, key: string, act: () => void, on?: boolean) => (
    <button
      type="button"
      className="button quiet tool"
      aria-label={label}
      aria-pressed={on}
      title={`${label} (${key})`}
      onClick={act}
    >
      <Icon name={icon} size={20} />
    </button>
  );
  return (
    <div className="viewer-bar">
      <div className="tools" role="group" aria-label={w.tool}>
        {TOOLS.map(([each, key]) => (
          <button
            key={each}
            type="button"
            className="button quiet tool named"
            aria-pressed={tool === each}
            title={`${w.tools[each]} (${key})`}
            disabled={each === "window" && !grey}
            onClick={() => acts.tool(each)}
          >
            <Icon name={each} size={20} />
            <span>{w.tools[each]}</span>
          </button>
        ))}
      </div>
      <div className="tools" role="group" aria-label={w.picture}>
        {button("minus", w.zoomOut, "−", () => acts.zoom(1 / 1.25))}
        {button("plus", w.zoomIn, "+", () => acts.zoom(1.25))}
        {button("fit", w.fit, "f", acts.fit)}
        {button(
          "invert",
          w.invert,
          "i",
          () => acts.change({ invert: !state.invert }),
          state.invert,
        )}
        {button(
          "across",
          w.across,
          "h",
          () => acts.change({ across: !state.across }),
          state.across,
        )}
        {button("down", w.down, "v", () => acts.change({ down: !state.down }), state.down)}
      </div>
      {inHu && <Presets window={state.window} onChange={(window) => acts.change({ window })} />}
      <button
        type="button"
        className="button quiet small viewer-reset"
        title="r"
        onClick={acts.reset}
      >
        {w.reset}
      </button>
    </div>
  );
}

const OTHER = "other";

function Presets(props: {
  window: Window | undefined;
  onChange: (window: Window | undefined) => void;
}) {
  const w = useWordsOf(WORDS);
  const { window, onChange } = props;
  const at = presetOf(window);
  return (
    <label className="pick">
      {w.window}
      <select
        value={window ? (at < 0 ? OTHER : String(at)) : ""}
        onChange={(event) => onChange(PRESETS[Number(event.target.value || "-1")])}
      >
        <option value="">{w.ofFile}</option>
        {PRESETS.map(({ center, width }, each) => (
          <option key={w.presets[each]} value={each}>
            {w.presets[each]} {center} / {width}
          </option>
        ))}
        {window && at < 0 && (
          <option value={OTHER}>
            {window.center} / {window.width}
          </option>
        )}
      </select>
    </label>
  );
}

export const presetOf = (window: Window | undefined): number =>
  PRESETS.findIndex(({ center, width }) => center === window?.center && width === window.width);
