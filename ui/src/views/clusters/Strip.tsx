import { Thumb } from "../../parts/Thumb";

interface StripProps {
  title: string;
  hint?: string;
  ids: string[];
  onLook: (id: string) => void;
}

/** A row of pictures, each of which can be looked at. */
export function Strip({ title, hint, ids, onLook }: StripProps) {
  if (!ids.length) return null;
  return (
    <section className="strip" aria-label={title}>
      <h2 title={hint}>{title}</h2>
      <ul>
        {ids.map((id, at) => (
          <li key={id}>
            <button type="button" aria-label={`${title} ${at + 1}`} onClick={() => onLook(id)}>
              <Thumb id={id} />
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}
