import { useState } from "react";
import { fieldName, valueName } from "../../lib/names";
import { useWords, useWordsOf } from "../../lib/settings";
import type { About } from "./about";
import { part } from "./names";
import { WORDS } from "./words";

const FEW = 6;

/** The values that a cluster has more often than the rest, in one line. */
export function TraitChips({ about, most }: { about: About; most: number }) {
  const t = useWords();
  const w = useWordsOf(WORDS);
  return (
    <span className="labels">
      {about.traits.slice(0, most).map((trait) => (
        <span
          key={`${trait.field} ${trait.value}`}
          className="label"
          title={`${fieldName(trait.field, t)}: ${w.insideOutside(part(trait.inside), part(trait.outside))}`}
        >
          {valueName(trait.field, trait.value, t)} <b>{part(trait.inside)}</b>
        </span>
      ))}
    </span>
  );
}

/** What sets a cluster apart: how often its values are in it, and how often in the rest. */
export function Traits({ about }: { about: About }) {
  const t = useWords();
  const w = useWordsOf(WORDS);
  const [all, setAll] = useState(false);
  const { traits, words, phrase } = about;
  if (!traits.length && !words.length && !phrase) return <p className="none">{w.noTraits}</p>;
  return (
    <div className="traits">
      {traits.length > 0 && (
        <table>
          <thead>
            <tr>
              <th scope="col" colSpan={2}>
                <span className="sr">{w.traits}</span>
              </th>
              <th scope="col">{w.inIt}</th>
              <th scope="col">{w.inRest}</th>
            </tr>
          </thead>
          <tbody>
            {traits.slice(0, all ? traits.length : FEW).map((trait) => (
              <tr key={`${trait.field} ${trait.value}`}>
                <th scope="row">
                  {trait.field === "description" ? w.description : fieldName(trait.field, t)}
                </th>
                <td className="trait-value">{valueName(trait.field, trait.value, t)}</td>
                <td>
                  <Bar share={trait.inside} strong />
                </td>
                <td>
                  <Bar share={trait.outside} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {traits.length > FEW && (
        <button type="button" className="link" onClick={() => setAll(!all)}>
          {all ? w.fewerTraits : w.moreTraits(traits.length - FEW)}
        </button>
      )}
      {(words.length > 0 || phrase) && (
        <dl className="trait-words">
          {phrase && (
            <div>
              <dt>{w.phrase}</dt>
              <dd>{phrase}</dd>
            </div>
          )}
          {words.length > 0 && (
            <div>
              <dt>{w.words}</dt>
              <dd>{words.join(", ")}</dd>
            </div>
          )}
        </dl>
      )}
    </div>
  );
}

function Bar({ share, strong = false }: { share: number; strong?: boolean }) {
  return (
    <span className={strong ? "share strong" : "share"}>
      <span className="share-words">{part(share)}</span>
      <span className="share-bar" aria-hidden="true">
        <span style={{ width: `${100 * share}%` }} />
      </span>
    </span>
  );
}
