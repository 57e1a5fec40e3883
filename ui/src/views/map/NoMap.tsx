import { useWordsOf } from "../../lib/settings";
import type { Ground } from "./asking";
import { Making } from "./Making";
import { WORDS } from "./words";

interface NoMapProps {
  ground: Ground;
  encoder: string;
  onMade: () => void;
}

/** In the place of a map that nobody has made yet. */
export function NoMap({ ground, encoder, onMade }: NoMapProps) {
  const t = useWordsOf(WORDS);
  const can = ground.spaces.length > 0;
  return (
    <main id="main" tabIndex={-1} className="map-none">
      <h1>{can ? t.noMap : t.noSpace}</h1>
      <p>{can ? t.noMapText : t.noSpaceDo}</p>
      {can && (
        <Making kind="map" which={{ encoder, version: null }} label={t.makeMap} onMade={onMade} />
      )}
    </main>
  );
}
