import { type FormEvent, type RefObject, useState } from "react";
import type { SearchAnswer } from "../../api/client";
import { addressOf, lookAt } from "../../api/files";
import { useAsked } from "../../lib/ask";
import { isUid } from "../../lib/format";
import { useWords } from "../../lib/settings";
import { Icon } from "../../parts/Icon";
import { Thumb } from "../../parts/Thumb";
import { held, light, previewOf } from "./files";
import { nameOf } from "./names";
import { type Part, withPart } from "./state";

interface QueryBarProps {
  parts: Part[];
  answer: SearchAnswer | undefined;
  field: RefObject<HTMLInputElement | null>;
  picker: RefObject<HTMLInputElement | null>;
  onParts: (parts: Part[]) => void;
  onFiles: (files: readonly File[]) => void;
}

/** The query as chips, and the field that adds to it. */
export function QueryBar({ parts, answer, field, picker, onParts, onFiles }: QueryBarProps) {
  const t = useWords();
  const [typed, setTyped] = useState("");

  function submit(event: FormEvent): void {
    event.preventDefault();
    const value = typed.trim();
    if (!value) return;
    onParts(withPart(parts, { kind: isUid(value) ? "uid" : "text", value, weight: 1 }));
    setTyped("");
  }

  return (
    <form className="query" role="search" onSubmit={submit}>
      <div className="query-box">
        <Icon name="search" />
        {parts.length > 0 && (
          <ul className="chips" aria-label={t.query}>
            {parts.map((part, at) => (
              <Chip
                key={`${part.kind} ${part.value}`}
                part={part}
                name={nameOf(part, at, answer, t)}
                weighted={parts.length > 1}
                onChange={(next) =>
                  onParts(
                    parts.flatMap((each, here) => (here !== at ? [each] : next ? [next] : [])),
                  )
                }
              />
            ))}
          </ul>
        )}
        <input
          ref={field}
          type="text"
          value={typed}
          enterKeyHint="search"
          spellCheck={false}
          placeholder={parts.length ? t.askMore : t.ask}
          aria-label={t.ask}
          onChange={(event) => setTyped(event.target.value)}
          onKeyDown={(event) => {
            if (event.key === "Escape") event.currentTarget.blur();
            if (event.key === "Backspace" && !typed && parts.length) onParts(parts.slice(0, -1));
          }}
        />
        <kbd className="hint">/</kbd>
        {parts.length > 0 && (
          <button type="button" className="button quiet" onClick={() => onParts([])}>
            {t.clear}
          </button>
        )}
      </div>
      <button type="button" className="button" onClick={() => picker.current?.click()}>
        <Icon name="file" />
        <span className="wide">{t.openFile}</span>
        <span className="sr narrow">{t.openFile}</span>
      </button>
      <input
        ref={picker}
        type="file"
        multiple
        hidden
        onChange={(event) => {
          onFiles([...(event.target.files ?? [])]);
          event.target.value = "";
        }}
      />
    </form>
  );
}

function FilePicture({ id }: { id: string }) {
  const drawn = previewOf(id);
  const files = held(id);
  const asked = !drawn && files && light(files);
  const look = useAsked(asked ? `chip ${id}` : null, (signal) =>
    lookAt(files ?? [], { slice: null, window: null, around: 0, size: 64 }, signal),
  );
  const preview = drawn || (look.data && addressOf(look.data));
  if (!preview) return <Icon name="file" size={16} />;
  return (
    <span className="chip-thumb">
      <img src={preview} alt="" width={32} height={32} />
    </span>
  );
}

const WEIGHTS = [0.25, 0.5, 1, 2, 4];

interface ChipProps {
  part: Part;
  name: { words: string; item: string };
  weighted: boolean;
  onChange: (next: Part | undefined) => void;
}

function Chip({ part, name, weighted, onChange }: ChipProps) {
  const t = useWords();
  const liked = part.weight > 0;
  const size = Math.abs(part.weight);
  const sizes = WEIGHTS.includes(size) ? WEIGHTS : [...WEIGHTS, size].sort((a, b) => a - b);
  return (
    <li className={`chip ${liked ? "like" : "unlike"}`}>
      <button
        type="button"
        className="sign"
        title={liked ? t.makeUnlike : t.makeLike}
        onClick={() => onChange({ ...part, weight: -part.weight })}
      >
        {liked ? t.like : t.unlike}
      </button>
      {part.kind === "uid" ? (
        <Thumb id={name.item} className="chip-thumb" />
      ) : (
        part.kind === "file" && <FilePicture id={part.value} />
      )}
      <span className="chip-words" title={name.words}>
        {name.words}
      </span>
      {weighted && (
        <select
          aria-label={`${t.weight}: ${name.words}`}
          value={size}
          onChange={(event) =>
            onChange({ ...part, weight: Number(event.target.value) * Math.sign(part.weight) })
          }
        >
          {sizes.map((each) => (
            <option key={each} value={each}>
              ×{each}
            </option>
          ))}
        </select>
      )}
      <button
        type="button"
        className="remove"
        aria-label={t.remove(name.words)}
        onClick={() => onChange(undefined)}
      >
        <Icon name="close" size={14} />
      </button>
    </li>
  );
}
