import { useState } from "react";
import { useWords } from "../lib/settings";
import { Icon } from "./Icon";

/** Copies words; where the browser does not let it, it says so. */
export function Copy({ words, label }: { words: string; label?: string }) {
  const t = useWords();
  const [said, setSaid] = useState<"" | "copied" | "hand">("");
  async function copy(): Promise<void> {
    try {
      await navigator.clipboard.writeText(words);
      setSaid("copied");
    } catch {
      setSaid("hand");
    }
  }
  return (
    <span className="copy">
      <button
        type="button"
        className="button quiet small"
        aria-label={`${t.copy}${label ? ` ${label}` : ""}`}
        onClick={copy}
      >
        <Icon name={said === "copied" ? "check" : "copy"} size={14} />
        {said === "copied" ? t.copied : t.copy}
      </button>
      <span role="status" className={said === "hand" ? "copy-hand" : "sr"}>
        {said === "hand" ? t.copyByHand : said === "copied" ? t.copied : ""}
      </span>
    </span>
  );
}
