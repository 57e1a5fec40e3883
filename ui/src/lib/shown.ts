import { useCallback, useEffect, useRef } from "react";

/**
 * The act, as long as the part that does it is shown, as of its last rendering; nothing after
 * that: an answer that comes late leads nobody back who has gone elsewhere.
 */
export function useWhileShown<Given extends unknown[]>(
  act: (...given: Given) => void,
): (...given: Given) => void {
  const held = useRef<typeof act | undefined>(undefined);
  useEffect(() => {
    held.current = act;
    return () => {
      held.current = undefined;
    };
  });
  return useCallback((...given: Given) => held.current?.(...given), []);
}
