import { useWordsOf } from "../../lib/settings";
import { About } from "./About";
import { Chosen } from "./Chosen";
import { Details } from "./Details";
import { NONE } from "./geometry";
import type { Pointing } from "./pointing";
import type { MapShown } from "./shown";
import { type MapState, narrowed } from "./state";
import { WORDS } from "./words";

interface SideProps {
  state: MapState;
  shown: MapShown;
  pointing: Pointing;
  /** Of the legend. */
  title: string;
  onClear: () => void;
  onClose: () => void;
}

/** Beside the map: the item that is open, else what is chosen, else what the map is. */
export function Side({ state, shown, pointing, title, onClear, onClose }: SideProps) {
  const t = useWordsOf(WORDS);
  const { map, opened, colouring } = shown;
  const on = opened !== undefined && opened !== NONE;
  const row = on ? colouring.rows[colouring.codes[opened] ?? 0] : undefined;
  return (
    <aside className="map-side" aria-label={t.details}>
      {state.item ? (
        <Details
          id={state.item}
          onMap={opened !== NONE}
          here={row && { title, name: row.name, colour: row.colour }}
          onClose={onClose}
        />
      ) : narrowed(state) ? (
        <Chosen
          state={state}
          chosen={shown.chosen}
          of={map?.points ?? 0}
          ids={shown.ids}
          pointed={pointing.at}
          onPoint={(at) => pointing.point(at, false)}
          onOpen={pointing.open}
          onClear={onClear}
          onChanged={shown.again}
        />
      ) : (
        map && <About map={map} onMade={shown.again} />
      )}
    </aside>
  );
}
