import { plain } from "../lib/format";
import { fieldName } from "../lib/names";
import { useWords } from "../lib/settings";

/** The labels of an item, those of its study among them. */
export function LabelList({ labels }: { labels: Record<string, string[]> }) {
  const t = useWords();
  const pairs = Object.entries(labels);
  if (!pairs.length) return <p className="none">{t.noLabels}</p>;
  return (
    <dl className="pairs">
      {pairs.map(([name, values]) => (
        <div key={name}>
          <dt>{fieldName(`label:${name}`, t)}</dt>
          <dd>{values.map(plain).join(", ")}</dd>
        </div>
      ))}
    </dl>
  );
}
