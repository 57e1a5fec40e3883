import { type FormEvent, useState } from "react";
import { GONE, Problem, signIn } from "../api/client";
import { useWords } from "../lib/settings";
import { Dialog } from "./Dialog";
import { ProblemNotice } from "./Notice";

/** Shown above everything when an answer says that nobody is signed in; what was asked is kept. */
export function SignIn({ onDone }: { onDone: () => void }) {
  const t = useWords();
  const [key, setKey] = useState("");
  const [wrong, setWrong] = useState<Problem | null>(null);
  const [busy, setBusy] = useState(false);

  async function submit(event: FormEvent): Promise<void> {
    event.preventDefault();
    setBusy(true);
    setWrong(null);
    try {
      await signIn(key.trim());
      onDone();
    } catch (error) {
      const problem = error instanceof Problem ? error : new Problem(0, GONE, "");
      const unknown = problem.status === 401 || problem.status === 403;
      setWrong(unknown ? new Problem(problem.status, "key", t.signInWrong) : problem);
    } finally {
      setBusy(false);
    }
  }

  return (
    <Dialog title={t.signIn}>
      <form className="sign-in" onSubmit={submit}>
        <p>{t.signInText}</p>
        <label>
          {t.apiKey}
          <input
            type="password"
            autoComplete="current-password"
            value={key}
            onChange={(event) => setKey(event.target.value)}
            required
          />
        </label>
        {wrong && <ProblemNotice problem={wrong} />}
        <button type="submit" className="button accent" disabled={busy || !key.trim()}>
          {t.signIn}
        </button>
      </form>
    </Dialog>
  );
}
