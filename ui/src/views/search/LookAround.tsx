import { useState } from "react";
import type { Messages } from "../../lib/messages";
import { remember, remembered, useWords } from "../../lib/settings";
import { Icon, type IconName } from "../../parts/Icon";

const HIDDEN = "around-hidden";

/** Where else to go: the places of the page by what they answer, until somebody knows them. */
export function LookAround() {
  const t = useWords();
  const [hidden, setHidden] = useState(remembered(HIDDEN));
  if (hidden) return null;
  const hide = () => {
    remember(HIDDEN, "1");
    setHidden(true);
  };
  return (
    <section className="around" aria-labelledby="around">
      <header>
        <h2 id="around">{t.around}</h2>
        <button type="button" className="button quiet small" onClick={hide}>
          {t.aroundHide}
        </button>
      </header>
      <ul>
        {PLACES.map(({ view, icon, words }) => (
          <li key={view}>
            <a href={`#/${view}`}>
              <Icon name={icon} size={18} />
              <span>
                <strong>{words(t).title}</strong>
                <span className="around-text">{words(t).text}</span>
              </span>
            </a>
          </li>
        ))}
      </ul>
    </section>
  );
}

interface Place {
  view: string;
  icon: IconName;
  words: (t: Messages) => { title: string; text: string };
}

const PLACES: readonly Place[] = [
  { view: "map", icon: "map", words: (t) => t.aroundMap },
  { view: "clusters", icon: "clusters", words: (t) => t.aroundClusters },
  { view: "curate", icon: "curate", words: (t) => t.aroundCurate },
  { view: "qa", icon: "qa", words: (t) => t.aroundQa },
];
