import { useEffect, useRef } from "react";
import * as client from "../../api/client";
import { useAsked } from "../../lib/ask";
import { parts, who } from "../../lib/format";
import { useKeys } from "../../lib/keys";
import { imageName } from "../../lib/names";
import { useWords, useWordsOf } from "../../lib/settings";
import { Icon } from "../../parts/Icon";
import { LabelList } from "../../parts/LabelList";
import { ProblemNotice } from "../../parts/Notice";
import { Viewer } from "../../parts/Viewer";
import { focusHit } from "../search/moving";
import { WORDS } from "./words";

interface LookProps {
  id: string;
  /** Members in their order, to go to the next. */
  order: string[];
  chosen: boolean;
  onChoose: () => void;
  onGo: (id: string) => void;
  onClose: () => void;
}

/** A member large, beside the others. */
export function Look({ id, order, chosen, onChoose, onGo, onClose }: LookProps) {
  const t = useWords();
  const w = useWordsOf(WORDS);
  const item = useAsked(`item ${id}`, (signal) => client.item(id, signal));
  const shown = item.data?.id === id ? item.data : undefined;
  const uid = shown?.study_instance_uid;
  const study = useAsked(uid ? `study ${uid}` : null, (signal) => client.study(uid ?? "", signal));
  const at = order.indexOf(id);
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => heading.current?.focus(), []);
  const to = (by: number) => {
    const next = order[at + by];
    if (next) onGo(next);
  };
  function close(): void {
    onClose();
    requestAnimationFrame(() => focusHit(id));
  }
  const href = uid ? `#/search?${new URLSearchParams({ study: uid })}` : "";
  useKeys({
    j: () => to(1),
    k: () => to(-1),
    x: onChoose,
    s: () => {
      if (href) window.location.hash = href;
    },
    Escape: close,
  });
  const slices =
    shown?.kind === "volume"
      ? study.data?.series.flatMap((each) => each.items).find((each) => each.id === id)?.slices
      : 1;
  const button = (
    icon: "left" | "right" | "close",
    label: string,
    key: string,
    act: () => void,
  ) => (
    <button
      type="button"
      className="button quiet"
      aria-label={label}
      title={key}
      disabled={icon !== "close" && !order[at + (icon === "left" ? -1 : 1)]}
      onClick={act}
    >
      <Icon name={icon} />
    </button>
  );
  return (
    <aside className="look" aria-label={t.details}>
      <header>
        <div className="drawer-title">
          <h2 ref={heading} tabIndex={-1}>
            {shown ? imageName(shown) || t.details : t.details}
          </h2>
          <p>{shown && parts(who(shown.sex, shown.age_years), shown.study_date)}</p>
        </div>
        {button("left", t.previous, "k", () => to(-1))}
        {button("right", t.next, "j", () => to(1))}
        {button("close", t.close, "Esc", close)}
      </header>
      <div className="drawer-body">
        {item.error && <ProblemNotice problem={item.error} retry={item.retry} />}
        {shown && slices !== undefined ? (
          <Viewer
            key={id}
            frame={{ id, modality: shown.modality, slices, slice: Math.ceil(slices / 2) }}
          />
        ) : (
          !item.error && (
            <div className="viewer">
              <div className="screen bone" />
            </div>
          )
        )}
        <div className="drawer-acts">
          <button type="button" className="button" aria-pressed={chosen} onClick={onChoose}>
            <Icon name="check" size={16} /> {w.select}
          </button>
          {href && (
            <a className="button" href={href} title="s">
              <Icon name="search" size={16} /> {w.likeThis}
            </a>
          )}
        </div>
        {shown && (
          <section>
            <h3>{t.labels}</h3>
            <LabelList labels={shown.labels} />
          </section>
        )}
      </div>
    </aside>
  );
}
