import { useEffect, useMemo, useRef, useState } from "react";
import type { Hit, Item } from "../../api/client";
import { useKeySheet, useKeys } from "../../lib/keys";
import { imageName } from "../../lib/names";
import { go } from "../../lib/route";
import { useWords } from "../../lib/settings";
import { Icon } from "../../parts/Icon";
import { Notice, ProblemNotice } from "../../parts/Notice";
import { AsRequest } from "./AsRequest";
import { hindranceOf, useFacets, useSearch, useStart } from "./asking";
import { Banners } from "./Banners";
import { phrasesOf } from "./beginning";
import { Drawer, placeToSee } from "./Drawer";
import { type FacetActs, Facets } from "./Facets";
import { type FileTrouble, hold, troubleWith } from "./files";
import type { HitActs } from "./HitCard";
import { Kept } from "./Kept";
import { focused, focusHit, revealHit, step, towards } from "./moving";
import { see } from "./names";
import { QueryBar } from "./QueryBar";
import { Results, Toolbar } from "./Results";
import { Start } from "./Start";
import { formatSearch, type Part, parseSearch, type SearchState, withPart } from "./state";
import { useTaking } from "./taking";
import { useUnlike } from "./unlike";

/** Finding studies that are like something; what is shown follows from the address. */
export function SearchView({ params }: { params: URLSearchParams }) {
  const t = useWords();
  const state = useMemo(() => parseSearch(params), [params]);
  const field = useRef<HTMLInputElement>(null);
  const picker = useRef<HTMLInputElement>(null);
  const [trouble, setTrouble] = useState<FileTrouble | undefined>();
  const [facetsOpen, setFacetsOpen] = useState(false);
  const [asRequest, setAsRequest] = useState(false);

  const hindrance = hindranceOf(state.parts);
  const asked = useSearch(state);
  const facets = useFacets(state);
  const start = useStart(state, hindrance === "empty");
  const answer = hindrance ? undefined : asked.data;
  const unlike = useUnlike(state, asked);

  function update(change: Partial<SearchState>, how: "push" | "replace" = "push"): void {
    go({ view: "search", params: formatSearch({ ...state, ...change }) }, how);
  }
  const ask = (parts: Part[]) => update({ parts, hit: "", k: 24 });
  const add = (part: Part) => ask(withPart(state.parts, part));
  function take(files: readonly File[]): void {
    if (!files.length) return;
    const wrong = troubleWith(files);
    setTrouble(wrong);
    if (!wrong)
      ask([
        ...state.parts.filter((part) => part.kind !== "file"),
        { kind: "file", value: hold(files), weight: 1 },
      ]);
  }
  const over = useTaking({
    files: take,
    uid: (value) => add({ kind: "uid", value, weight: 1 }),
  });

  const hits = answer ? [...answer.hits, ...answer.priors] : [];
  const shown = hits.find((hit) => hit.id === state.hit);
  const current = () => state.hit || focused();
  const acts = useSteady<HitActs>({
    open: (id) => update({ hit: id === state.hit ? "" : id }),
    weigh: (hit, weight) => {
      see(hit.id, { words: imageName(hit), item: hit.id });
      add({ kind: "uid", value: hit.id, weight });
    },
    keep: (id) => {
      const there = state.kept.includes(id);
      update(
        { kept: there ? state.kept.filter((each) => each !== id) : [...state.kept, id] },
        "replace",
      );
    },
  });
  const facetActs = useSteady<FacetActs>({
    change: (change) => update({ ...change, hit: "" }),
    close: () => setFacetsOpen(false),
  });
  function alone(of: { study_instance_uid: string; id: string }, name: string): void {
    see(of.study_instance_uid, { words: name, item: of.id });
    ask([{ kind: "uid", value: of.study_instance_uid, weight: 1 }]);
  }
  function goTo(id: string | undefined): void {
    if (!id) return;
    if (state.hit) update({ hit: id }, "replace");
    focusHit(id);
  }
  function close(): void {
    const was = state.hit;
    update({ hit: "" });
    requestAnimationFrame(() => focusHit(was));
  }
  /** The query beside a hit; beside the first, if none is named. */
  function compare(hit: string): void {
    if (hit || state.parts.length || state.kept.length)
      go({ view: "compare", params: formatSearch({ ...state, hit }) });
  }
  const onHit = (act: (hit: Hit) => void) => () => {
    const hit = hits.find((each) => each.id === current());
    if (hit) act(hit);
  };

  useKeys({
    "/": () => field.current?.focus(),
    o: () => picker.current?.click(),
    f: () => openFacets(facetsOpen, setFacetsOpen),
    d: () => update({ dense: !state.dense }, "replace"),
    g: () => update({ group: state.group === "study" ? "patient" : "study" }),
    j: () => goTo(step(1, current())),
    k: () => goTo(step(-1, current())),
    "+": onHit((hit) => acts.weigh(hit, 1)),
    "-": onHit((hit) => acts.weigh(hit, -1)),
    "−": onHit((hit) => acts.weigh(hit, -1)),
    c: onHit((hit) => acts.keep(hit.id)),
    s: onHit((hit) => alone(hit, imageName(hit))),
    v: () => compare(current() ?? ""),
    e: onHit((hit) => go(placeToSee(hit))),
    y: () => setAsRequest(!hindrance),
    ...(shown
      ? { Escape: close }
      : {
          Escape: () => (facetsOpen ? setFacetsOpen(false) : field.current?.blur()),
          ArrowRight: () => goTo(towards(1, 0, focused())),
          ArrowLeft: () => goTo(towards(-1, 0, focused())),
          ArrowDown: () => goTo(towards(0, 1, focused())),
          ArrowUp: () => goTo(towards(0, -1, focused())),
        }),
  });

  useKeySheet(t.sheet);

  useEffect(() => {
    // Opening the details moves the cards: the chosen one stays in sight.
    if (shown) revealHit(shown.id);
  }, [shown]);

  const narrowed = state.choices.length > 0 || state.filter !== "";
  const filters = (
    <button
      type="button"
      className="button facets-open"
      aria-expanded={facetsOpen}
      aria-controls="facets"
      onClick={() => setFacetsOpen(!facetsOpen)}
    >
      <Icon name="filter" size={16} />{" "}
      {t.showFilters(state.choices.length + (state.filter ? 1 : 0))}
    </button>
  );
  return (
    <div className={`search${shown ? " with-drawer" : ""}${facetsOpen ? " with-facets" : ""}`}>
      <QueryBar
        parts={state.parts}
        answer={answer}
        field={field}
        picker={picker}
        onParts={ask}
        onFiles={take}
      />
      <Facets asked={facets} choices={state.choices} filter={state.filter} acts={facetActs} />
      <main id="main" tabIndex={-1}>
        {trouble && (
          <Notice kind="error" title={t.refusedTitle}>
            {trouble.kind === "large" ? t.fileTooLarge(String(trouble.mb)) : t.fileEmpty}
          </Notice>
        )}
        {hindrance === "empty" ? (
          <>
            <div className="toolbar only-narrow">{filters}</div>
            <Start
              asked={start}
              narrowed={narrowed}
              phrases={facets.data && phrasesOf(facets.data.facets)}
              onFile={() => picker.current?.click()}
              onType={() => field.current?.focus()}
              onPhrase={(value) => add({ kind: "text", value, weight: 1 })}
              onStudy={(item: Item) => alone(item, imageName(item))}
            />
          </>
        ) : (
          <>
            <h1 className="sr">{t.search}</h1>
            <Toolbar
              state={state}
              asked={asked}
              onChange={update}
              onRequest={() => setAsRequest(!hindrance)}
              filters={filters}
            />
            {hindrance === "files" && (
              <Notice kind="warn" title={t.fileGoneTitle}>
                {t.fileGoneText}
              </Notice>
            )}
            {hindrance === "unlike" && (
              <Notice kind="info" title={t.onlyUnlike}>
                {t.onlyUnlikeText}
              </Notice>
            )}
            {asked.slow && (
              <Notice
                kind="info"
                title={t.slow}
                actions={
                  <button type="button" className="button" onClick={asked.stop}>
                    {t.stop}
                  </button>
                }
              />
            )}
            <Banners answer={answer} unlike={unlike} />
            {asked.error && facets.data?.items === 0 && !narrowed ? (
              <Notice kind="info" title={t.emptyLibrary}>
                {t.emptyLibraryDo}
              </Notice>
            ) : asked.error ? (
              <ProblemNotice problem={asked.error} retry={asked.retry} />
            ) : (
              !hindrance && <Results state={state} asked={asked} acts={acts} onChange={update} />
            )}
          </>
        )}
        <Kept
          ids={state.kept}
          onOpen={(id) => openKept(id)}
          onDrop={acts.keep}
          onCompare={compareKept}
        />
        <footer>{t.research}</footer>
      </main>
      {shown && answer && (
        <Drawer
          hit={shown}
          place={placeOf(shown, answer.hits)}
          answer={answer}
          kept={state.kept.includes(shown.id)}
          acts={acts}
          onStep={(by) => goTo(step(by, shown.id))}
          onAlone={() => alone(shown, imageName(shown))}
          onCompare={() => compare(shown.id)}
          onClose={close}
        />
      )}
      {asRequest && <AsRequest state={state} onClose={() => setAsRequest(false)} />}
      {over && (
        <div className="drop">
          <div>
            <Icon name="file" size={40} />
            <strong>{t.dropHere}</strong>
            <span>{t.dropHint}</span>
          </div>
        </div>
      )}
    </div>
  );

  /** The kept ones beside the query, or beside the first of them. */
  function compareKept(): void {
    const params = formatSearch({ ...state, hit: "" });
    params.set("of", "kept");
    go({ view: "compare", params });
  }

  /** One of the hits is shown; of another search it becomes the query. */
  function openKept(id: string): void {
    if (hits.some((hit) => hit.id === id)) update({ hit: id });
    else ask([{ kind: "uid", value: id, weight: 1 }]);
  }
}

/** One object for the whole life of the view, whose functions do what those of now would do. */
function useSteady<T extends object>(now: T): T {
  const held = useRef(now);
  held.current = now;
  return useMemo(
    () => new Proxy(held.current, { get: (_, name) => Reflect.get(held.current, name) }),
    [],
  );
}

function openFacets(open: boolean, set: (open: boolean) => void): void {
  set(!open);
  requestAnimationFrame(() => {
    const facets = document.getElementById("facets");
    (facets?.querySelector<HTMLElement>("input[type=checkbox]") ?? facets)?.focus();
  });
}

function placeOf(hit: Hit, hits: readonly Hit[]): number | null {
  const at = hits.findIndex((each) => each.id === hit.id);
  return at < 0 ? null : at + 1;
}
