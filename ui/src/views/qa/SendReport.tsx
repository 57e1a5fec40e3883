import { type FormEvent, useState } from "react";
import { Problem } from "../../api/client";
import * as api from "../../api/qa";
import { useAsked } from "../../lib/ask";
import { useWordsOf } from "../../lib/settings";
import { Dialog } from "../../parts/Dialog";
import { Icon } from "../../parts/Icon";
import { ProblemNotice } from "../../parts/Notice";
import { WORDS } from "./words";

/** Sends the flag as a structured report; nothing is shown where no destination is named. */
export function SendReport({ study, reference }: { study: string; reference: string }) {
  const w = useWordsOf(WORDS);
  const [open, setOpen] = useState(false);
  const destinations = useAsked("destinations", (signal) => api.destinations(signal));
  if (!destinations.data?.length) return null;
  return (
    <>
      <button type="button" className="button" onClick={() => setOpen(true)}>
        <Icon name="send" size={16} /> {w.send}
      </button>
      {open && (
        <SendDialog
          study={study}
          reference={reference}
          names={destinations.data.map((each) => each.name)}
          onClose={() => setOpen(false)}
        />
      )}
    </>
  );
}

interface SendDialogProps {
  study: string;
  reference: string;
  names: string[];
  onClose: () => void;
}

function SendDialog({ study, reference, names, onClose }: SendDialogProps) {
  const w = useWordsOf(WORDS);
  const [to, setTo] = useState(names[0] ?? "");
  const [busy, setBusy] = useState(false);
  const [sent, setSent] = useState("");
  const [trouble, setTrouble] = useState<Problem | undefined>();
  async function submit(event: FormEvent): Promise<void> {
    event.preventDefault();
    setBusy(true);
    setTrouble(undefined);
    try {
      setSent((await api.sendReport(study, reference, to)).destination);
    } catch (error) {
      setTrouble(error instanceof Problem ? error : new Problem(0, "page", String(error)));
    } finally {
      setBusy(false);
    }
  }
  return (
    <Dialog title={w.sendTitle} onClose={onClose}>
      <form className="qa-form" onSubmit={submit}>
        <p>{w.sendText}</p>
        <label>
          {w.destination}
          <select value={to} onChange={(event) => setTo(event.target.value)}>
            {names.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
        {trouble && <ProblemNotice problem={trouble} />}
        {sent && <p role="status">{w.sent(sent)}</p>}
        <button type="submit" className="button accent" disabled={busy || sent === to}>
          {w.send}
        </button>
      </form>
    </Dialog>
  );
}
