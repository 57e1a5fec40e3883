import { type ReactNode, useEffect, useRef } from "react";
import { keySheet } from "../lib/keys";
import { useWords } from "../lib/settings";
import { Icon } from "./Icon";

interface DialogProps {
  title: string;
  children: ReactNode;
  onClose?: (() => void) | undefined;
}

/** A window above everything; without `onClose` it stays until what it asks for is done. */
export function Dialog({ title, children, onClose }: DialogProps) {
  const t = useWords();
  const element = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const dialog = element.current;
    if (dialog && !dialog.open) dialog.showModal();
    return () => dialog?.close();
  }, []);
  return (
    <dialog
      ref={element}
      className="dialog"
      aria-labelledby="dialog-title"
      onCancel={(event) => {
        event.preventDefault();
        onClose?.();
      }}
    >
      <header>
        <h2 id="dialog-title">{title}</h2>
        {onClose && (
          <button type="button" className="button quiet" aria-label={t.close} onClick={onClose}>
            <Icon name="close" />
          </button>
        )}
      </header>
      {children}
    </dialog>
  );
}

/** Every key that does something: in the view that is shown, and everywhere. */
export function KeySheet({ onClose }: { onClose: () => void }) {
  const t = useWords();
  return (
    <Dialog title={t.sheetTitle} onClose={onClose}>
      <dl className="keys">
        {[...keySheet(), ...t.sheetEverywhere].map(([keys, what]) => (
          <div key={keys}>
            <dt>
              {keys.split("  ").map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <p className="licences">
        <a href="/assets/licences.txt" target="_blank" rel="noreferrer">
          {t.licences}
        </a>
      </p>
    </Dialog>
  );
}
