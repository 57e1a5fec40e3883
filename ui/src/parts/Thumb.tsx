import { useState } from "react";
import { thumbnailUrl } from "../api/client";
import { useOnSignIn } from "../lib/ask";
import { useWords } from "../lib/settings";
import { Icon } from "./Icon";

interface ThumbProps {
  id: string;
  className?: string;
  /** It is among the first that are looked at: fetched before others, wherever it lies. */
  first?: boolean;
}

/** The thumbnail of an item, in a square that has its size before the picture is there. */
export function Thumb({ id, className = "thumb", first = false }: ThumbProps) {
  const t = useWords();
  const [broken, setBroken] = useState("");
  useOnSignIn(() => setBroken(""));
  return (
    <span className={className}>
      {id && broken !== id ? (
        <img
          src={thumbnailUrl(id)}
          alt=""
          width={256}
          height={256}
          loading={first ? "eager" : "lazy"}
          fetchPriority={first ? "high" : "auto"}
          decoding="async"
          draggable={false}
          onError={() => setBroken(id)}
        />
      ) : (
        <span className="no-picture">
          <Icon name="picture" />
          <span>{t.noPicture}</span>
        </span>
      )}
    </span>
  );
}
