import { useEffect, useRef, useState } from "react";
import { isUid } from "../../lib/format";

interface Taken {
  files: (files: readonly File[]) => void;
  uid: (uid: string) => void;
}

/** Files that are dropped on the page, pictures and UIDs that are pasted; true while one hovers. */
export function useTaking(taken: Taken): boolean {
  const [over, setOver] = useState(false);
  const held = useRef(taken);
  held.current = taken;
  useEffect(() => {
    const hasFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
    const dragged = (event: DragEvent) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      setOver(true);
    };
    const left = (event: DragEvent) => {
      if (event.relatedTarget === null) setOver(false);
    };
    const dropped = (event: DragEvent) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      setOver(false);
      held.current.files([...(event.dataTransfer?.files ?? [])]);
    };
    const pasted = (event: ClipboardEvent) => {
      const files = [...(event.clipboardData?.files ?? [])];
      if (files.length) {
        event.preventDefault();
        held.current.files(files);
        return;
      }
      const text = event.clipboardData?.getData("text").trim() ?? "";
      if (event.target instanceof HTMLInputElement || !isUid(text)) return;
      event.preventDefault();
      held.current.uid(text);
    };
    window.addEventListener("dragover", dragged);
    window.addEventListener("dragleave", left);
    window.addEventListener("drop", dropped);
    window.addEventListener("paste", pasted);
    return () => {
      window.removeEventListener("dragover", dragged);
      window.removeEventListener("dragleave", left);
      window.removeEventListener("drop", dropped);
      window.removeEventListener("paste", pasted);
    };
  }, []);
  return over;
}
