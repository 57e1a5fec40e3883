import { useEffect, useRef, useState } from "react";
import { formatLook, type Look } from "./look";

export interface Looks {
  ours: Look;
  theirs: Look;
}

const keyOf = ({ ours, theirs }: Looks): string => `${formatLook(ours)} ${formatLook(theirs)}`;
const REST_MS = 300;

/**
 * How both sides are looked at: at once here, and in the address when it comes to rest, since
 * browsers take only so many changes of an address a second.
 */
export function useLooking(
  told: Looks,
  write: (looks: Looks) => void,
): [Looks, (change: (now: Looks) => Looks) => void] {
  const [looks, setLooks] = useState<Looks>(told);
  const key = keyOf(told);
  const written = useRef(key);
  const latest = useRef({ told, write });
  latest.current = { told, write };

  useEffect(() => {
    if (key === written.current) return;
    written.current = key; // somebody else changed the address: a link, the back button, a step
    setLooks(latest.current.told);
  }, [key]);

  useEffect(() => {
    const now = keyOf(looks);
    if (now === written.current) return;
    const timer = setTimeout(() => {
      written.current = now;
      latest.current.write(looks);
    }, REST_MS);
    return () => clearTimeout(timer);
  }, [looks]);

  return [looks, setLooks];
}
