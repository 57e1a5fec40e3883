import { type ReactNode, useEffect, useRef, useState } from "react";
import type { Hit, Schemas, SearchAnswer } from "../../api/client";
import * as api from "../../api/client";
import { useAsked } from "../../lib/ask";
import { decimal, parts, shortUid, who } from "../../lib/format";
import { fieldName, imageName, valueName } from "../../lib/names";
import { formatHash, type Route } from "../../lib/route";
import { useSettings, useWords } from "../../lib/settings";
import { Icon } from "../../parts/Icon";
import { LabelList } from "../../parts/LabelList";
import { ProblemNotice } from "../../parts/Notice";
import { Viewer } from "../../parts/Viewer";
import { type HitActs, Nearness } from "./HitCard";

interface DrawerProps {
  hit: Hit;
  place: number | null;
  answer: SearchAnswer;
  kept: boolean;
  acts: HitActs;
  onStep: (by: number) => void;
  onAlone: () => void;
  onCompare: () => void;
  onClose: () => void;
}

/** All that is known of one hit, beside the list that it is from. */
export function Drawer({
  hit,
  place,
  answer,
  kept,
  acts,
  onStep,
  onAlone,
  onCompare,
  onClose,
}: DrawerProps) {
  const t = useWords();
  const { language } = useSettings();
  const details = useAsked(`study ${hit.study_instance_uid}`, (signal) =>
    api.study(hit.study_instance_uid, signal),
  );
  const study =
    details.data?.study_instance_uid === hit.study_instance_uid ? details.data : undefined;
  const slices = slicesOf(study, hit);
  const heading = useRef<HTMLHeadingElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: a new hit begins at its top
  useEffect(() => {
    heading.current?.scrollIntoView({ block: "nearest" });
  }, [hit.id]);
  return (
    <aside className="drawer" aria-label={t.details}>
      <header>
        <div className="drawer-title">
          <h2 ref={heading} tabIndex={-1}>
            {imageName(hit) || shortUid(hit.study_instance_uid)}
          </h2>
          <p>{parts(who(hit.sex, hit.age_years), hit.study_date, place === null && t.prior)}</p>
        </div>
        <button
          type="button"
          className="button quiet"
          aria-label={t.previous}
          title="k"
          onClick={() => onStep(-1)}
        >
          <Icon name="left" />
        </button>
        <button
          type="button"
          className="button quiet"
          aria-label={t.next}
          title="j"
          onClick={() => onStep(1)}
        >
          <Icon name="right" />
        </button>
        <button
          type="button"
          className="button quiet"
          aria-label={t.close}
          title="Esc"
          onClick={onClose}
        >
          <Icon name="close" />
        </button>
      </header>
      <div className="drawer-body">
        <Viewer
          key={hit.id}
          frame={{
            id: hit.id,
            modality: hit.modality,
            slices: details.error ? (slices ?? 1) : slices,
            slice: hit.match?.number,
          }}
        />
        <div className="drawer-acts">
          <button type="button" className="button" onClick={() => acts.weigh(hit, 1)}>
            <Icon name="plus" size={16} /> {t.moreLike}
          </button>
          <button type="button" className="button" onClick={() => acts.weigh(hit, -1)}>
            <Icon name="minus" size={16} /> {t.lessLike}
          </button>
          <button
            type="button"
            className="button"
            aria-pressed={kept}
            onClick={() => acts.keep(hit.id)}
          >
            <Icon name="pin" size={16} /> {kept ? t.unkeep : t.keep}
          </button>
          <button type="button" className="button" onClick={onAlone}>
            <Icon name="search" size={16} /> {t.findLike}
          </button>
          <button type="button" className="button" title="v" onClick={onCompare}>
            <Icon name="compare" size={16} /> {t.compare}
          </button>
          <a className="button" href={formatHash(placeToSee(hit))} title="e">
            <Icon name="picture" size={16} /> {t.openStudy}
          </a>
          {hit.viewer_url && (
            <a className="button" href={hit.viewer_url} target="_blank" rel="noreferrer">
              <Icon name="out" size={16} /> {t.openViewer}
            </a>
          )}
        </div>
        <section className="nearness">
          <Nearness hit={hit} place={place} />
          <span className="raw">{t.score(decimal(hit.score, 4, language))}</span>
          {hit.match && (
            <span className="raw">{t.matchedSlice(hit.match.number, hit.match.of)}</span>
          )}
        </section>
        <Difference hit={hit} answer={answer} />
        <Part title={t.labels}>
          <LabelList labels={hit.labels} />
        </Part>
        {details.error ? (
          <ProblemNotice problem={details.error} retry={details.retry} />
        ) : (
          <Reports study={study} />
        )}
        <Origins hit={hit} />
        <Identity hit={hit} />
      </div>
    </aside>
  );
}

/** Where the whole study of a hit is seen, at the slice that matched. */
export function placeToSee(hit: Hit): Route {
  const params = new URLSearchParams({
    study: hit.study_instance_uid,
    series: hit.series_instance_uid,
  });
  if (hit.match) params.set("at", String(hit.match.number));
  return { view: "view", params };
}

/** Slices of the item as its study tells, 1 of a picture; not known before that. */
function slicesOf(study: Schemas["StudyDetails"] | undefined, hit: Hit): number | undefined {
  if (hit.kind !== "volume") return 1;
  const items = study?.series.flatMap((series) => series.items) ?? [];
  return items.find((item) => item.id === hit.id)?.slices;
}

function Part({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section>
      <h3>{title}</h3>
      {children}
    </section>
  );
}

/** What the hit has otherwise than the query, and what both have. */
function Difference({ hit, answer }: { hit: Hit; answer: SearchAnswer }) {
  const t = useWords();
  const { evidence } = hit;
  if (!evidence || !answer.queries.some((query) => query.item || query.kind === "file"))
    return null;
  const differing = Object.entries(evidence.differing);
  const shared = Object.entries(evidence.shared);
  if (!differing.length && !shared.length) return null;
  return (
    <Part title={t.difference}>
      <table className="difference">
        <thead>
          <tr>
            <td />
            <th scope="col">{t.query}</th>
            <th scope="col">{t.hit}</th>
          </tr>
        </thead>
        <tbody>
          {differing.map(([field, [mine, its]]) => (
            <tr key={field}>
              <th scope="row">{fieldName(field, t)}</th>
              <td>{valueName(field, mine, t)}</td>
              <td className="other">{valueName(field, its, t)}</td>
            </tr>
          ))}
          {shared.map(([field, value]) => (
            <tr key={field} className="shared">
              <th scope="row">{fieldName(field, t)}</th>
              <td colSpan={2}>{valueName(field, value, t)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Part>
  );
}

function Reports({ study }: { study: Schemas["StudyDetails"] | undefined }) {
  const t = useWords();
  return (
    <Part title={t.report}>
      {!study ? (
        <span className="bone line" />
      ) : study.reports.length ? (
        study.reports.map((text) => (
          <p key={text} className="report">
            {text}
          </p>
        ))
      ) : (
        <p className="none">{t.noReport}</p>
      )}
    </Part>
  );
}

function Origins({ hit }: { hit: Hit }) {
  const t = useWords();
  const { language } = useSettings();
  if (!hit.voices.length) return null;
  return (
    <Part title={t.foundBy}>
      <dl className="pairs">
        {hit.voices.map((voice) => (
          <div key={`${voice.voice} ${voice.how}`}>
            <dt>{voice.voice === voice.how ? voice.voice : `${voice.voice}, ${voice.how}`}</dt>
            <dd>
              {t.place(voice.rank)} · {decimal(voice.score, 3, language)}
            </dd>
          </div>
        ))}
      </dl>
    </Part>
  );
}

function Identity({ hit }: { hit: Hit }) {
  const t = useWords();
  const [copied, setCopied] = useState(false);
  async function copy(): Promise<void> {
    await navigator.clipboard.writeText(hit.study_instance_uid).catch(() => undefined);
    setCopied(true);
    setTimeout(() => setCopied(false), 1500);
  }
  return (
    <Part title={t.identity}>
      <dl className="pairs">
        <div>
          <dt>{t.studyUid}</dt>
          <dd title={hit.study_instance_uid}>
            <code>{shortUid(hit.study_instance_uid)}</code>{" "}
            {navigator.clipboard && (
              <button type="button" className="link" onClick={copy}>
                {copied ? t.copied : t.copy}
              </button>
            )}
          </dd>
        </div>
        <div>
          <dt>{t.patient}</dt>
          <dd>
            <code>{hit.patient || t.patientUnknown}</code>
          </dd>
        </div>
      </dl>
    </Part>
  );
}
