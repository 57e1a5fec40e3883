import type { ReactNode } from "react";
import { useWordsOf } from "../../lib/settings";
import { hrefOf } from "./state";
import { WORDS } from "./words";

interface PlaceProps {
  /** What lies between all clusterings and this. */
  within?: [name: string, href: string];
  children?: ReactNode;
}

/** Where one is, with the way up, and what can be done here. */
export function Place({ within, children }: PlaceProps) {
  const w = useWordsOf(WORDS);
  return (
    <div className="place-bar">
      <nav aria-label={w.all}>
        <a href={hrefOf({})}>{w.all}</a>
        {within && (
          <>
            <span aria-hidden="true">/</span>
            <a href={within[1]}>{within[0]}</a>
          </>
        )}
      </nav>
      {children && <div className="place-acts">{children}</div>}
    </div>
  );
}
