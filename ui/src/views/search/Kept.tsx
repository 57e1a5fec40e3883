import { useWords } from "../../lib/settings";
import { Icon } from "../../parts/Icon";
import { Thumb } from "../../parts/Thumb";

interface KeptProps {
  ids: string[];
  onOpen: (id: string) => void;
  onDrop: (id: string) => void;
  onCompare: () => void;
}

/** What was put aside to be compared; it stays while searches come and go. */
export function Kept({ ids, onOpen, onDrop, onCompare }: KeptProps) {
  const t = useWords();
  if (!ids.length) return null;
  return (
    <section className="kept-tray" aria-label={t.keptTitle}>
      <h2>{t.keptTitle}</h2>
      <ul>
        {ids.map((id, at) => (
          <li key={id}>
            <button type="button" aria-label={`${t.details} ${at + 1}`} onClick={() => onOpen(id)}>
              <Thumb id={id} />
            </button>
            <button
              type="button"
              className="remove"
              aria-label={`${t.unkeep} ${at + 1}`}
              onClick={() => onDrop(id)}
            >
              <Icon name="close" size={12} />
            </button>
          </li>
        ))}
      </ul>
      <button type="button" className="button" onClick={onCompare}>
        <Icon name="compare" size={16} /> {t.compare}
      </button>
    </section>
  );
}
