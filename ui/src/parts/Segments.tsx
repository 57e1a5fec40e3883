import type { ReactNode } from "react";

interface SegmentsProps {
  label: string;
  value: string;
  options: [value: string, shown: ReactNode, title?: string][];
  onChange: (value: string) => void;
}

/** One of a few, all of them in sight. */
export function Segments({ label, value, options, onChange }: SegmentsProps) {
  return (
    <div className="segments" role="group" aria-label={label}>
      {options.map(([each, shown, title]) => (
        <button
          key={each}
          type="button"
          aria-pressed={each === value}
          aria-label={title}
          title={title}
          onClick={() => onChange(each)}
        >
          {shown}
        </button>
      ))}
    </div>
  );
}
