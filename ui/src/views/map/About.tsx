import * as api from "../../api/map";
import { useAsked } from "../../lib/ask";
import { count } from "../../lib/format";
import { useSettings, useWordsOf } from "../../lib/settings";
import { Notice } from "../../parts/Notice";
import { mapKey, whichOf } from "./asking";
import { Making } from "./Making";
import { WORDS } from "./words";

/** Beside the map while nothing of it is chosen: what it is, and how to use it. */
export function About({ map, onMade }: { map: api.MapTold; onMade: () => void }) {
  const t = useWordsOf(WORDS);
  const { language } = useSettings();
  const missing = useAsked(`map missing ${mapKey(map)}`, (signal) =>
    api.missing(whichOf(map), signal),
  );
  const lacking = missing.data?.map.points === map.points ? missing.data.missing : 0;
  const day = new Date(map.created_at).toLocaleDateString(language);
  const ways: [string, string][] = [
    ["", t.wayPoint],
    ["", t.wayMove],
    ["l", t.wayLasso],
    ["v", t.wayView],
    ["→", t.wayKeys],
  ];
  return (
    <section className="map-about">
      <h2>{t.aboutMap}</h2>
      <p className="map-facts">
        <strong>{t.pictures(count(map.points, language), map.points)}</strong>
        <span>
          {map.encoder} · {t.made(day)}
          {map.filter && ` · ${t.onlyOf(map.filter)}`}
        </span>
      </p>
      <p>{t.aboutText}</p>
      {map.points === 1 && <Notice kind="info" title={t.onePoint} />}
      {lacking > 0 && (
        <div className="map-lacking">
          <Notice kind="info" title={t.newer(count(lacking, language))}>
            {t.newerText}
          </Notice>
          <Making kind="map-place" which={whichOf(map)} label={t.place} onMade={onMade} />
        </div>
      )}
      <h3>{t.ways}</h3>
      <ul className="map-ways">
        {ways.map(([key, words]) => (
          <li key={words}>
            {words}
            {key && <kbd>{key}</kbd>}
          </li>
        ))}
      </ul>
    </section>
  );
}
