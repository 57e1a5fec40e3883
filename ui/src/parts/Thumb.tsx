import { useState } from "react";
import { thumbnailUrl } from "../api/client";
import { useWords } from "../lib/settings";
import { Icon } from "./Icon";

/** The thumbnail of an item, in a square that has its size before the picture is there. */
export function Thumb({ id, className = "thumb" }: { id: string; className?: string }) {
  const t = useWords();
  const [broken, setBroken] = useState("");
  return (
    <span className={className}>
      {id && broken !== id ? (
        <img
          src={thumbnailUrl(id)}
          alt=""
          width={256}
          height={256}
          loading="lazy"
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
