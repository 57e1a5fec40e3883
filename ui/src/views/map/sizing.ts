import { type RefObject, useEffect, useState } from "react";

export interface Size {
  width: number;
  height: number;
  ratio: number;
}

/** The size of an element in CSS pixels, as it is now. */
export function useSize(box: RefObject<HTMLElement | null>): Size {
  const [size, setSize] = useState<Size>({ width: 0, height: 0, ratio: 1 });
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    const observer = new ResizeObserver(() => {
      const { clientWidth, clientHeight } = element;
      const ratio = Math.min(2, window.devicePixelRatio || 1);
      setSize({ width: clientWidth, height: clientHeight, ratio });
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, [box]);
  return size;
}
