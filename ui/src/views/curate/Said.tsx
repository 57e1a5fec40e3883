import { useEffect, useState } from "react";
import * as api from "../../api/curate";
import { useAsked } from "../../lib/ask";
import { percent, plain } from "../../lib/format";
import { fieldName } from "../../lib/names";
import { useWords, useWordsOf } from "../../lib/settings";
import { Thumb } from "../../parts/Thumb";
import { type Finding, fieldsOf, labelsOf, type Seen } from "./subject";
import { WORDS } from "./words";

/** What was found of the subject, in words. */
export function Said({ finding }: { finding: Finding }) {
  const t = useWordsOf(WORDS);
  const { kind, kinship, cosine, correlation, rank, typicality, covered, quality } = finding;
  const lines = [
    kinship && (t.kinship[kinship] ?? kinship),
    kind && (t.leak[kind] ?? kind),
    finding.items !== undefined &&
      t.sides(
        finding.split ?? "",
        String(finding.items),
        finding.other_split ?? "",
        String(finding.other_items ?? 0),
      ),
    [
      cosine !== undefined && t.cosine(cosine.toFixed(4)),
      typeof correlation === "number" && t.correlation(correlation.toFixed(3)),
    ]
      .filter(Boolean)
      .join(" · "),
    typicality !== undefined && t.typicality(typicality.toFixed(3), String(rank)),
    covered !== undefined && t.covered(percent(covered), String(rank)),
    quality !== undefined && t.quality(percent(quality)),
    finding.confident && t.sure,
  ].filter((line): line is string => Boolean(line));
  if (!lines.length) return null;
  const grave = kinship === "different patients";
  return (
    <ul className={`said${grave ? " grave" : ""}`}>
      {lines.map((line) => (
        <li key={line}>{line}</li>
      ))}
    </ul>
  );
}

/** Fields of both of a pair, what differs first; or of the one that there is. */
export function Fields({ seen, names }: { seen: readonly Seen[]; names: readonly string[] }) {
  const t = useWordsOf(WORDS);
  const shared = useWords();
  const [mine, its] = seen.map((each) => new Map(fieldsOf(each, shared)));
  if (!mine) return null;
  const fields = [...new Set([...mine.keys(), ...(its?.keys() ?? [])])];
  const other = its ? fields.filter((field) => mine.get(field) !== its.get(field)) : [];
  const rows = [...other, ...fields.filter((field) => !other.includes(field))];
  const called = (field: string) => (field === "patient" ? t.patient : fieldName(field, shared));
  return (
    <section>
      <h3>{its ? t.differs : t.details}</h3>
      <table className="difference">
        {its && (
          <thead>
            <tr>
              <td />
              {names.map((name) => (
                <th key={name} scope="col">
                  {name}
                </th>
              ))}
            </tr>
          </thead>
        )}
        <tbody>
          {rows.map((field) => (
            <tr key={field} className={its && !other.includes(field) ? "shared" : ""}>
              <th scope="row">{called(field)}</th>
              <td>{plain(mine.get(field) ?? "–")}</td>
              {its && (
                <td className={other.includes(field) ? "other" : ""}>
                  {plain(its.get(field) ?? "–")}
                </td>
              )}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}

const NEAR = 6;

/** Items near to one: those that disagree with its label, else the nearest of other patients. */
export function Near({ seen, finding }: { seen: Seen; finding: Finding }) {
  const t = useWordsOf(WORDS);
  const asked = useAsked(`near ${seen.id}`, (signal) => api.neighbours(seen.id, NEAR, signal));
  const disagreeing = finding.disagreeing?.slice(0, NEAR) ?? [];
  const label = finding.label ?? "";
  if (asked.error) return null; // it is an aid: the decision does not need it
  const hits = asked.data ?? [];
  return (
    <>
      {disagreeing.length > 0 && (
        <section>
          <h3>{t.disagreeing}</h3>
          <ul className="near">
            {disagreeing.map((id) => (
              <NearOne key={id} id={id} label={label} />
            ))}
          </ul>
        </section>
      )}
      <section>
        <h3>{t.nearest}</h3>
        <ul className="near">
          {asked.data
            ? hits.map((hit) => (
                <li key={hit.id}>
                  <a href={`#/search?study=${hit.study_instance_uid}`}>
                    <Thumb id={hit.id} />
                    <span>
                      {words(hit.labels, label) || (label && t.unlabelled) || hit.modality}
                    </span>
                  </a>
                </li>
              ))
            : Array.from({ length: NEAR }, (_, at) => (
                // biome-ignore lint/suspicious/noArrayIndexKey: places that are all alike
                <li key={at} className="bone near-bone" />
              ))}
        </ul>
      </section>
    </>
  );
}

function NearOne({ id, label }: { id: string; label: string }) {
  const [value, setValue] = useState("");
  useEffect(() => {
    const controller = new AbortController();
    api
      .itemLabels(id, controller.signal)
      .then((labels) => setValue(words(labels, label)))
      .catch(() => undefined); // the picture alone says something, too
    return () => controller.abort();
  }, [id, label]);
  return (
    <li>
      <a href={`#/search?study=${id}`}>
        <Thumb id={id} />
        <span>{value || "…"}</span>
      </a>
    </li>
  );
}

const words = (labels: Record<string, readonly string[]>, label: string): string =>
  plain((label ? (labels[label] ?? []) : Object.values(labels).flat().slice(0, 1)).join(", "));

/** The given label against the suggested one. */
export function Suggestion({ finding, seen }: { finding: Finding; seen: Seen | undefined }) {
  const t = useWordsOf(WORDS);
  const { label = "", given, suggested } = finding;
  if (!given || !suggested) return null;
  const now = seen ? labelsOf(seen, label).join(" + ") : given;
  return (
    <div className="suggestion">
      <div>
        <h3>{t.given}</h3>
        <p className={now === given ? "" : "was"}>{plain(given)}</p>
      </div>
      <span aria-hidden="true">→</span>
      <div>
        <h3>{t.suggested}</h3>
        <p>{plain(suggested)}</p>
      </div>
    </div>
  );
}
