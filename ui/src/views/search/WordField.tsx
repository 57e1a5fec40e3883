import { type FormEvent, useState } from "react";
import { useWords } from "../../lib/settings";
import { isWord } from "./state";

interface WordFieldProps {
  /** Words that can be chosen above; as they are written there they are chosen here. */
  offered: string[];
  onChoose: (word: string) => void;
}

/** Any word of the reports, whether it is among the frequent ones or not. */
export function WordField({ offered, onChoose }: WordFieldProps) {
  const t = useWords();
  const [typed, setTyped] = useState("");
  const [wrong, setWrong] = useState(false);
  function submit(event: FormEvent): void {
    event.preventDefault();
    const word = typed.trim().toLowerCase();
    setWrong(word !== "" && !isWord(word));
    if (!isWord(word)) return;
    onChoose(offered.find((each) => folded(each) === folded(word)) ?? word);
    setTyped("");
  }
  return (
    <form className="word-field" onSubmit={submit}>
      <input
        value={typed}
        placeholder={`${t.anotherWord} …`}
        aria-label={t.anotherWord}
        aria-invalid={wrong || undefined}
        aria-describedby={wrong ? "one-word" : undefined}
        spellCheck={false}
        autoComplete="off"
        onChange={(event) => {
          setTyped(event.target.value);
          setWrong(false);
        }}
      />
      {wrong && (
        <p id="one-word" className="field-error">
          {t.oneWord}
        </p>
      )}
    </form>
  );
}

/** Without diacritics, which make no difference. */
const folded = (word: string): string => word.normalize("NFD").replace(/\p{M}/gu, "");
