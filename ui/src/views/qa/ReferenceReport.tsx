import type { Reference } from "../../api/qa";
import { count, plain } from "../../lib/format";
import { useSettings, useWordsOf } from "../../lib/settings";
import { TooSmall } from "./Counts";
import { FitPatches } from "./FitPatches";
import { outOf, sentence, share, when } from "./figures";
import { detectorsOf, notesOf, patchesOf, refusedOf, type Stratum, strataOf } from "./report";
import { WORDS } from "./words";

/** What a reference was made of, how it was calibrated, and what it tells apart. */
export function ReferenceReport({ reference }: { reference: Reference }) {
  const w = useWordsOf(WORDS);
  const { language } = useSettings();
  const strata = strataOf(reference);
  const patches = patchesOf(reference);
  const { n, of } = outOf(reference.alarm);
  const facts: [string, string][] = [
    [
      w.alarmName,
      `${share(reference.alarm)}. ${w.usualFlagged(count(n, language), count(of, language))}`,
    ],
    [w.made, when(reference.created_at, language)],
    [w.filter, reference.filter || w.noFilter],
    [w.encoder, reference.encoder],
    [w.itemsName, count(reference.items, language)],
    [w.patchesName, reference.heat ? w.patchesYes(count(patches, language)) : w.patchesNo],
  ];
  return (
    <section className="reference-report" aria-label={reference.name}>
      <h2>{reference.name}</h2>
      <TooSmall reference={reference} />
      <dl className="facts">
        {facts.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      {!reference.heat && <FitPatches reference={reference} />}
      <Strata strata={strata} />
      <Others strata={strata} />
      <Corruptions strata={strata} />
      <Refused reference={reference} />
      {notesOf(reference).length > 0 && (
        <section>
          <h3>{w.notes}</h3>
          <ul className="findings">
            {notesOf(reference).map((note) => (
              <li key={note}>{sentence(note)}</li>
            ))}
          </ul>
        </section>
      )}
    </section>
  );
}

function Strata({ strata }: { strata: Stratum[] }) {
  const w = useWordsOf(WORDS);
  const { language } = useSettings();
  return (
    <section>
      <h3>{w.strata}</h3>
      <p className="raw">{w.strataText}</p>
      <div className="scroll-x">
        <table className="figures">
          <thead>
            <tr>
              <td />
              <th scope="col">{w.fitted}</th>
              <th scope="col">{w.heldOut}</th>
              <th scope="col">{w.patients}</th>
              <th scope="col">{w.leastRate}</th>
            </tr>
          </thead>
          <tbody>
            {strata.map((each) => (
              <tr key={each.stratum}>
                <th scope="row">{each.stratum}</th>
                <td>{count(each.fitted, language)}</td>
                <td>{count(each.held_out, language)}</td>
                <td>{count(each.patients, language)}</td>
                <td>{share(each.least_alarm)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function Others({ strata }: { strata: Stratum[] }) {
  const w = useWordsOf(WORDS);
  const told = strata.filter((each) => Object.keys(each.against_other_items).length);
  if (!told.length) return null;
  const detectors = detectorsOf(told);
  return (
    <section>
      <h3>{w.otherItems}</h3>
      <p className="raw">{w.otherText}</p>
      <div className="scroll-x">
        <table className="figures">
          <thead>
            <tr>
              <td />
              {detectors.map((each) => (
                <th key={each} scope="col">
                  {each}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {told.map((stratum) => (
              <tr key={stratum.stratum}>
                <th scope="row">{stratum.stratum}</th>
                {detectors.map((name) => {
                  const found = stratum.against_other_items[name];
                  return (
                    <td key={name} className={found ? shadeOf(found.auroc) : ""}>
                      {found ? (
                        <>
                          {found.auroc.toFixed(3)}
                          <small>
                            {w.fpr95} {found.fpr95.toFixed(2)}
                          </small>
                        </>
                      ) : (
                        "–"
                      )}
                    </td>
                  );
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

/** Of five shades, by what a measure of separation is worth: 0.5 is a guess. */
const shadeOf = (auroc: number): string =>
  `shade-${Math.min(4, Math.max(0, Math.floor((auroc - 0.5) * 10)))}`;

function Corruptions({ strata }: { strata: Stratum[] }) {
  const w = useWordsOf(WORDS);
  const told = strata.filter((each) => Object.keys(each.against_corruptions).length);
  return (
    <section>
      <h3>{w.corruptions}</h3>
      <p className="raw">{told.length ? w.corruptionsText : w.noCorruptions}</p>
      {told.map((stratum) => (
        <CorruptionTable key={stratum.stratum} stratum={stratum} />
      ))}
    </section>
  );
}

function CorruptionTable({ stratum }: { stratum: Stratum }) {
  const kinds = Object.keys(stratum.against_corruptions);
  const detectors = detectorsOf([stratum]);
  return (
    <div className="scroll-x">
      <table className="figures">
        <caption>{stratum.stratum}</caption>
        <thead>
          <tr>
            <td />
            {detectors.map((each) => (
              <th key={each} scope="col">
                {each}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {kinds.map((kind) => (
            <tr key={kind}>
              <th scope="row">{plain(kind)}</th>
              {detectors.map((name) => {
                const auroc = stratum.against_corruptions[kind]?.[name];
                return (
                  <td key={name} className={auroc === undefined ? "" : shadeOf(auroc)}>
                    {auroc === undefined ? "–" : auroc.toFixed(3)}
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Refused({ reference }: { reference: Reference }) {
  const w = useWordsOf(WORDS);
  const { language } = useSettings();
  const refused = refusedOf(reference);
  if (!refused.length) return null;
  return (
    <section>
      <h3>{w.refused}</h3>
      <dl className="pairs">
        {refused.map((each) => (
          <div key={each.stratum} title={each.why}>
            <dt>{each.stratum}</dt>
            <dd>{w.refusedWhy(count(each.cases, language), count(each.patients, language))}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}
