import { useCallback, useEffect, useRef, useState } from "react";
import type { Camera } from "./camera";
import { rounded } from "./state";

const COMMIT_MS = 300;

export interface Moving {
  camera: Camera | null;
  /** As it is now, also before it is drawn. */
  live: React.RefObject<Camera | null>;
  setCamera: (camera: Camera | null) => void;
  moving: React.RefObject<boolean>;
}

/** The camera as it moves; the address follows when it rests. */
export function useCamera(told: Camera | null, onCamera: (camera: Camera | null) => void): Moving {
  const [camera, setShown] = useState(told);
  const live = useRef(told);
  const moving = useRef(false);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const commit = useRef(onCamera);
  commit.current = onCamera;
  const key = addressed(told);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the same place is another object each time
  useEffect(() => {
    // What the address says of where it is already is less exact.
    if (moving.current || addressed(live.current) === key) return;
    live.current = told;
    setShown(told);
  }, [key]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const setCamera = useCallback((next: Camera | null) => {
    moving.current = true;
    live.current = next;
    setShown(next);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => {
      moving.current = false;
      commit.current(next);
    }, COMMIT_MS);
  }, []);
  return { camera, live, setCamera, moving };
}

const addressed = (camera: Camera | null): string =>
  camera ? [camera.x, camera.y, camera.zoom].map(rounded).join() : "";
