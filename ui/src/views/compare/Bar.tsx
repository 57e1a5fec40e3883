import { useWords, useWordsOf } from "../../lib/settings";
import { Icon } from "../../parts/Icon";
import { Segments } from "../../parts/Segments";
import { nameOf } from "../search/names";
import type { Comparison } from "./comparison";
import type { CompareState, Region, Tab } from "./state";
import { WORDS } from "./words";

interface BarProps {
  state: CompareState;
  found: Comparison;
  onBack: () => void;
  onStep: (by: number) => void;
  onOf: (of: CompareState["of"]) => void;
  onDropRegion: () => void;
  onKeep: () => void;
  onTab: (tab: Tab) => void;
}

/** Whose hits these are, where among them one is, and the way on and back. */
export function Bar(props: BarProps) {
  const { state, found, onStep } = props;
  const t = useWords();
  const words = useWordsOf(WORDS);
  const { candidates, candidate, answer } = found;
  const at = candidate ? candidates.indexOf(candidate) + 1 : 0;
  const kept = state.search.kept.includes(found.right);
  const step = (by: number, label: string, key: string) => (
    <button
      type="button"
      className="button quiet"
      aria-label={label}
      title={`${label} (${key})`}
      disabled={candidates.length === 0}
      onClick={() => onStep(by)}
    >
      <Icon name={by < 0 ? "left" : "right"} />
    </button>
  );
  return (
    <header className="compare-bar">
      <button type="button" className="button" title="Esc" onClick={props.onBack}>
        <Icon name="left" size={16} /> {words.back}
      </button>
      <p className="compare-query">
        {state.search.parts.map((part, place) => {
          const name = nameOf(part, place, answer, t).words;
          return (
            <span key={`${part.kind} ${part.value}`} title={name}>
              <b>{part.weight > 0 ? t.like : t.unlike}</b> {name}
            </span>
          );
        })}
      </p>
      {state.region && (
        <span className="chip">
          <span className="chip-words">{words.regionChip(regionWords(state.region))}</span>
          <button
            type="button"
            className="remove"
            aria-label={words.regionDrop}
            title={`${words.regionDrop} (Delete)`}
            onClick={props.onDropRegion}
          >
            <Icon name="close" size={14} />
          </button>
        </span>
      )}
      {state.search.kept.length > 0 && state.search.parts.length > 0 && (
        <Segments
          label={words.of}
          value={state.of}
          options={[
            ["hits", words.hits],
            ["kept", `${words.kept} ${state.search.kept.length}`],
          ]}
          onChange={(said) => props.onOf(said === "kept" ? "kept" : "hits")}
        />
      )}
      <span className="compare-step">
        {step(-1, t.previous, "k")}
        <span role="status">{at > 0 && words.place(at, candidates.length)}</span>
        {step(1, t.next, "j")}
      </span>
      <button
        type="button"
        className="button"
        aria-pressed={kept}
        title="c"
        disabled={!found.right}
        onClick={props.onKeep}
      >
        <Icon name="pin" size={16} /> <span className="keep-words">{kept ? t.unkeep : t.keep}</span>
      </button>
      <div className="compare-tabs">
        <Segments
          label={words.tabs}
          value={state.tab}
          options={[
            ["both", words.both],
            ["ours", words.ours],
            ["theirs", words.theirs],
          ]}
          onChange={(said) => props.onTab(said === "ours" || said === "theirs" ? said : "both")}
        />
      </div>
    </header>
  );
}

/** Where nothing can be gone through: the way back alone. */
export function BareBar({ onBack }: { onBack: () => void }) {
  const words = useWordsOf(WORDS);
  return (
    <header className="compare-bar">
      <button type="button" className="button" title="Esc" onClick={onBack}>
        <Icon name="left" size={16} /> {words.back}
      </button>
    </header>
  );
}

/** `420, 310 · 120 × 90 px`. */
const regionWords = (region: Region): string =>
  `${region.x}, ${region.y} · ${region.width} × ${region.height} px`;
