import { type ReactNode, useState } from "react";
import type { Schemas } from "../../api/client";
import type { Asked } from "../../lib/ask";
import { parts, plain, shortUid, who } from "../../lib/format";
import { formatHash } from "../../lib/route";
import { useWords, useWordsOf } from "../../lib/settings";
import { ProblemNotice } from "../../parts/Notice";
import { Thumb } from "../../parts/Thumb";
import { figure, pValue, sentence } from "./figures";
import type { Image } from "./images";
import { WORDS } from "./words";

function Part({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section>
      <h3>{title}</h3>
      {children}
    </section>
  );
}

interface WhyProps {
  image: Image | undefined;
  /** Of the study, where nothing else says why. */
  reason: string;
  flagged: boolean | null;
}

/** The findings with their figures, else the detector that finds it oddest; with what it was compared. */
export function Why({ image, reason, flagged }: WhyProps) {
  const w = useWordsOf(WORDS);
  if (!image) return <span className="bone line" />;
  const detector = image.detectors[0]?.name ?? "";
  const oddest = w.detectorSays[detector] ?? detector;
  const said = flagged === false ? w.noFindings : sentence(image.reason || reason || oddest);
  return (
    <Part title={flagged === false ? w.findings : w.why}>
      {image.findings.length === 0 && <p className="why">{said}</p>}
      <ul className="findings">
        {image.findings.map((finding) => (
          <li key={`${finding.code} ${finding.sentence}`}>
            <span>{sentence(finding.sentence)}</span>
            <code>{plain(finding.code)}</code>
          </li>
        ))}
      </ul>
      {image.stratum && (
        <p className="raw">
          {w.stratum}: {image.stratum}
        </p>
      )}
    </Part>
  );
}

interface NearestProps {
  study: string;
  image: Image | undefined;
  loading: boolean;
}

/** The cases of the reference that are least unlike it; each opens beside it. */
export function Nearest({ study, image, loading }: NearestProps) {
  const t = useWords();
  const w = useWordsOf(WORDS);
  const nearest = image?.nearest;
  return (
    <Part title={w.nearest}>
      {!nearest && loading && (
        <div className="nearest" role="status" aria-label={w.judging}>
          {[0, 1, 2, 3, 4].map((each) => (
            <span key={each} className="thumb bone" />
          ))}
        </div>
      )}
      {nearest?.length === 0 && <p className="none">{w.noNearest}</p>}
      {nearest && nearest.length > 0 && (
        <ol className="nearest">
          {nearest.map((near) => (
            <li key={near.item}>
              <a
                href={formatHash({
                  view: "compare",
                  params: new URLSearchParams({ study, hit: near.item }),
                })}
                aria-label={`${w.compareWith}: ${t.hit}, ${w.distance(figure(near.distance))}`}
              >
                <Thumb id={near.item} />
                <span>{figure(near.distance)}</span>
              </a>
            </li>
          ))}
        </ol>
      )}
    </Part>
  );
}

interface DetectorsProps {
  image: Image | undefined;
  interval: Schemas["Interval"] | null;
}

export function Detectors({ image, interval }: DetectorsProps) {
  const w = useWordsOf(WORDS);
  if (!image?.detectors.length) return null;
  const percent = (value: number) => `${(100 * value).toFixed(1)} %`;
  return (
    <Part title={w.detectors}>
      <div className="scroll-x">
        <table className="figures">
          <thead>
            <tr>
              <th scope="col">{w.detector}</th>
              <th scope="col">{w.scoreName}</th>
              <th scope="col">{w.threshold}</th>
              <th scope="col">{w.p}</th>
            </tr>
          </thead>
          <tbody>
            {image.detectors.map((each) => (
              <tr key={each.name}>
                <th scope="row">
                  {each.name}
                  <small>{w.detectorSays[each.name.split("/").at(-1) ?? ""]}</small>
                </th>
                <td className={above(each.score, each.threshold) ? "odd" : ""}>
                  {figure(each.score)}
                </td>
                <td>{each.threshold === undefined ? "–" : figure(each.threshold)}</td>
                <td>{pValue(each.p)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {interval && (
        <p className="raw">{w.calibrated(percent(interval.low), percent(interval.high))}</p>
      )}
      <p className="raw">{w.pMeaning}</p>
    </Part>
  );
}

const above = (score: number, threshold: number | undefined): boolean =>
  threshold !== undefined && score > threshold;

interface AboutProps {
  details: Asked<Schemas["StudyDetails"]>;
  study: string;
  image: Image | undefined;
}

export function About({ details, study, image }: AboutProps) {
  const t = useWords();
  const w = useWordsOf(WORDS);
  const known = details.data?.study_instance_uid === study ? details.data : undefined;
  if (details.error) return <ProblemNotice problem={details.error} retry={details.retry} />;
  const rows: [string, string][] = [
    [w.fields.scanner, image?.scanner ?? ""],
    [w.fields.image, image ? parts(image.modality, image.body_part, image.view) : ""],
    [w.fields.date, known?.study_date ?? ""],
    [w.fields.person, known ? who(known.sex, known.age_years) : ""],
    ...Object.entries(image?.labels ?? {}).map(([name, values]): [string, string] => [
      plain(name),
      values.map(plain).join(", "),
    ]),
  ];
  return (
    <Part title={w.about}>
      <dl className="pairs">
        {rows
          .filter(([, value]) => value)
          .map(([name, value]) => (
            <div key={`${name} ${value}`}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          ))}
        <div>
          <dt>{t.studyUid}</dt>
          <dd>
            <code title={study}>{shortUid(study)}</code> <Copy text={study} />
          </dd>
        </div>
      </dl>
      {known?.reports.map((text) => (
        <details key={text} className="notes">
          <summary>{w.fields.report}</summary>
          <p className="report">{text}</p>
        </details>
      ))}
    </Part>
  );
}

function Copy({ text }: { text: string }) {
  const t = useWords();
  const [copied, setCopied] = useState(false);
  if (!navigator.clipboard) return null;
  async function copy(): Promise<void> {
    await navigator.clipboard.writeText(text).catch(() => undefined);
    setCopied(true);
    setTimeout(() => setCopied(false), 1500);
  }
  return (
    <button type="button" className="link" onClick={copy}>
      {copied ? t.copied : t.copy}
    </button>
  );
}

export function Notes({ notes }: { notes: readonly string[] }) {
  const w = useWordsOf(WORDS);
  if (!notes.length) return null;
  return (
    <Part title={w.notes}>
      <ul className="findings">
        {notes.map((note) => (
          <li key={note}>{sentence(note)}</li>
        ))}
      </ul>
    </Part>
  );
}
