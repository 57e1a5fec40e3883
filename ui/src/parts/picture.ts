import { useEffect, useReducer, useRef, useState } from "react";
import { pictureTrouble } from "../api/client";
import { useOnSignIn } from "../lib/ask";

export interface Picture {
  shown: string;
  /** Width by height; 0 of what is not there yet. */
  ratio: number;
  loading: boolean;
  failed: boolean;
  why: string;
}

const NOTHING: Picture = { shown: "", ratio: 0, loading: true, failed: false, why: "" };

/**
 * The picture at an address; none is fetched where that is empty. The one before stays until it is
 * there, at first a stand-in; one is fetched at a time.
 */
export function usePicture(url: string, standIn: string): [picture: Picture, retry: () => void] {
  const [picture, setPicture] = useState<Picture>({ ...NOTHING, shown: standIn });
  const [round, again] = useReducer((n: number) => n + 1, 0);
  useOnSignIn(again);
  const wanted = useRef(url);
  const busy = useRef(false);
  const live = useRef(true);
  useEffect(() => {
    live.current = true;
    return () => {
      live.current = false;
    };
  }, []);
  // biome-ignore lint/correctness/useExhaustiveDependencies: `round` asks for the same again
  useEffect(() => {
    wanted.current = url;
    if (!url || busy.current) return;
    async function fetchWanted(): Promise<void> {
      busy.current = true;
      let now = "";
      while (live.current && wanted.current !== now) {
        now = wanted.current;
        setPicture((old) => ({ ...old, loading: true }));
        const { ratio, why } = await loaded(now);
        if (!live.current) break;
        setPicture((old) => ({
          shown: now,
          ratio: ratio || old.ratio,
          loading: false,
          failed: why !== null,
          why: why ?? "",
        }));
      }
      busy.current = false;
    }
    void fetchWanted();
  }, [url, round]);
  return [picture, again];
}

/** Width by height and null when the picture is there, else why it is not. */
function loaded(url: string): Promise<{ ratio: number; why: string | null }> {
  return new Promise((resolve) => {
    const image = new Image();
    image.onload = () => resolve({ ratio: image.naturalWidth / image.naturalHeight, why: null });
    image.onerror = async () => {
      const problem = await pictureTrouble(url);
      resolve({ ratio: 0, why: problem?.message ? `${problem.message}.` : "" });
    };
    image.src = url;
  });
}
