import { useWords, useWordsOf } from "../../lib/settings";
import { LightPick, WindowPick } from "../../parts/FrameTools";
import { Icon, type IconName } from "../../parts/Icon";
import { Segments } from "../../parts/Segments";
import type { Look } from "./look";
import type { Tool } from "./Pane";
import type { Link } from "./state";
import { WORDS } from "./words";

const TOOLS: readonly Tool[] = ["window", "move", "region"];

export interface ToolsProps {
  tool: Tool;
  link: Link;
  /** Both are volumes, whose slices can belong together. */
  volumes: boolean;
  overlay: boolean;
  /** Of the side that the tools mean. */
  look: Look;
  inHu: boolean;
  onTool: (tool: Tool) => void;
  onLink: (link: Link) => void;
  onOverlay: () => void;
  onLook: (change: (look: Look) => Look) => void;
  onZoom: (factor: number) => void;
  onReset: () => void;
}

/** What can be done to both pictures. */
export function Tools(props: ToolsProps) {
  const t = useWords();
  const words = useWordsOf(WORDS);
  const { tool, link, look, onLook } = props;
  const button = (icon: IconName, label: string, key: string, act: () => void, on?: boolean) => (
    <button
      type="button"
      className="button small"
      aria-pressed={on}
      aria-label={label}
      title={`${label} (${key})`}
      onClick={act}
    >
      <Icon name={icon} size={16} />
    </button>
  );
  return (
    <div className="compare-tools" role="toolbar" aria-label={words.tool}>
      <Segments
        label={words.tool}
        value={tool}
        options={[
          ["window", words.window],
          ["move", words.move],
          ["region", words.region],
        ]}
        onChange={(said) => props.onTool(TOOLS.find((each) => each === said) ?? "window")}
      />
      <span className="tool-group">
        {button("minus", words.farther, "−", () => props.onZoom(0.8))}
        {button("plus", words.closer, "+", () => props.onZoom(1.25))}
        {button("mirror", words.mirror, "x", () => onLook(mirrored), look.mirrored)}
        {button("upside", words.upside, "y", () => onLook(turned), look.upside)}
      </span>
      <button
        type="button"
        className="button small"
        aria-pressed={link !== "off"}
        title={`${words.linkedTitle} (l)`}
        onClick={() => props.onLink(link === "off" ? "match" : "off")}
      >
        <Icon name="link" size={16} /> {words.linked}
      </button>
      {props.volumes && link !== "off" && (
        <Segments
          label={words.slices}
          value={link}
          options={[
            ["match", words.byMatch, `${words.slices}: ${words.byMatch} (n)`],
            ["position", words.byPosition, `${words.slices}: ${words.byPosition} (n)`],
          ]}
          onChange={(said) => props.onLink(said === "position" ? "position" : "match")}
        />
      )}
      <button
        type="button"
        className="button small"
        aria-pressed={props.overlay}
        title={`${words.overlayTitle} (a)`}
        onClick={props.onOverlay}
      >
        <Icon name="heat" size={16} /> {words.overlay}
      </button>
      <span className="tool-light">
        {props.inHu ? (
          <WindowPick
            values={look.window}
            onChange={(window) => onLook((now) => ({ ...now, window }))}
          />
        ) : (
          <LightPick
            light={look.light}
            onChange={(light) => onLook((now) => ({ ...now, light }))}
          />
        )}
        <button type="button" className="button quiet small" title="r" onClick={props.onReset}>
          {t.reset}
        </button>
      </span>
    </div>
  );
}

export const mirrored = (look: Look): Look => ({ ...look, mirrored: !look.mirrored });
export const turned = (look: Look): Look => ({ ...look, upside: !look.upside });
