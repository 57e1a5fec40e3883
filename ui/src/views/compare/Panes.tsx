import { addressOf } from "../../api/files";
import { useWords, useWordsOf } from "../../lib/settings";
import { previewOf } from "../search/files";
import type { SideName } from "./acts";
import { Caption, Near, nameOfSide, PinButton } from "./Captions";
import { type Comparison, inHu } from "./comparison";
import { type Part, partOf } from "./geometry";
import type { Look } from "./look";
import { type Overlay, Pane, type Tool } from "./Pane";
import type { CompareState } from "./state";
import { WORDS } from "./words";

interface PanesProps {
  state: CompareState;
  found: Comparison;
  tool: Tool;
  draft: Part | undefined;
  active: SideName;
  onLook: (side: SideName, change: (look: Look) => Look) => void;
  onSlice: (side: SideName, by: number) => void;
  onActive: (side: SideName) => void;
  onDraw: (part: Part, done: boolean) => void;
  onAsk: () => void;
  onCancel: () => void;
  onPin: () => void;
  onMatched: () => void;
}

/** Both pictures with their captions; on a narrow screen one above the other, or one alone. */
export function Panes(props: PanesProps) {
  const { state, found, tool, active, draft } = props;
  const words = useWordsOf(WORDS);
  const { left, right, ours, theirs, slices, sides, dropped } = found;
  const preview = left.file && (dropped.data ? addressOf(dropped.data) : previewOf(left.file));
  const unlinked = state.link === "off";
  return (
    <div className="panes">
      <section className="pane-column ours" aria-label={words.ours}>
        <Caption
          tag={state.left ? words.pinned : words.ours}
          side={ours}
          name={left.file && words.fileName(dropped.data?.modality ?? "")}
          loading={sides.ours.loading || found.source.loading}
        >
          {state.left && <PinButton pinned possible onPin={props.onPin} />}
        </Caption>
        {(left.id && !ours && !sides.ours.error) || (left.file && !preview && !dropped.error) ? (
          <div className="pane">
            <div className="screen bone" />
          </div>
        ) : left.id || preview ? (
          <Pane
            key={left.id || left.file}
            id={left.id}
            preview={preview}
            label={`${words.ours}: ${ours ? nameOfSide(ours) : words.fileName("")}`}
            inHu={inHu(found, "ours")}
            slice={slices.ours}
            slices={found.stacks.ours}
            look={state.ours}
            tool={tool}
            active={unlinked && active === "ours"}
            overlay={overlayOf(found, "query", slices.ours)}
            boxes={ourBoxes(props)}
            onLook={(change) => props.onLook("ours", change)}
            onSlice={(by) => props.onSlice("ours", by)}
            onActive={() => props.onActive("ours")}
            onDraw={props.onDraw}
          >
            {draft && <DrawBar {...props} />}
          </Pane>
        ) : (
          <NoPicture loading={found.source.loading} />
        )}
      </section>
      <section className="pane-column theirs" aria-label={words.theirs}>
        <Caption
          tag={words.theirs}
          side={theirs}
          loading={sides.theirs.loading || found.source.loading}
        >
          <Near candidate={found.candidate} />
          {!state.left && <PinButton pinned={false} possible={right !== ""} onPin={props.onPin} />}
        </Caption>
        {right && (theirs || sides.theirs.error) ? (
          <Pane
            key={right}
            id={right}
            label={`${words.theirs}: ${theirs ? nameOfSide(theirs) : ""}`}
            inHu={inHu(found, "theirs")}
            slice={slices.theirs}
            slices={found.stacks.theirs}
            look={state.theirs}
            tool={tool === "region" ? "window" : tool}
            active={unlinked && active === "theirs"}
            overlay={overlayOf(found, "hit", slices.theirs)}
            boxes={theirBoxes(found)}
            onLook={(change) => props.onLook("theirs", change)}
            onSlice={(by) => props.onSlice("theirs", by)}
            onActive={() => props.onActive("theirs")}
          />
        ) : (
          <div className="pane">
            <div className={right || found.source.loading ? "screen bone" : "screen empty"} />
          </div>
        )}
      </section>
      <UnderPanes state={state} found={found} onMatched={props.onMatched} />
    </div>
  );
}

function NoPicture({ loading }: { loading: boolean }) {
  const words = useWordsOf(WORDS);
  return (
    <div className="pane">
      {loading ? (
        <div className="screen bone" />
      ) : (
        <div className="screen empty">
          <p>
            <strong>{words.noPicture}</strong>
            <span>{words.noPictureText}</span>
          </p>
        </div>
      )}
    </div>
  );
}

/** The likeness of a side, if the slice that was compared is the one that is shown. */
function overlayOf(found: Comparison, side: "query" | "hit", slice: number): Overlay | undefined {
  const { matched } = found;
  const of = matched?.[side];
  if (!matched || !of || (of.slice !== null && of.slice !== slice)) return undefined;
  return { cells: of.likeness, low: matched.low, high: matched.high };
}

function ourBoxes({ state, found, draft }: PanesProps): Part[] {
  if (draft) return [draft];
  const { region } = state;
  const frame = found.frame.data;
  if (!region || !frame || (region.slice && region.slice !== found.slices.ours)) return [];
  return [partOf(region, frame)];
}

function theirBoxes({ candidate, slices }: Comparison): Part[] {
  const region = candidate?.region;
  if (!region || (region.slice_number !== null && region.slice_number !== slices.theirs)) return [];
  const [x, y, width, height] = region.box;
  return [partOf({ x, y, width, height }, region.frame)];
}

/** What to do with a region that is drawn, above the picture that it is on. */
function DrawBar({ found, onAsk, onCancel }: PanesProps) {
  const t = useWords();
  const words = useWordsOf(WORDS);
  const ready = found.frame.data !== undefined && !found.frame.loading;
  return (
    <div className="draw-bar" onPointerDown={(event) => event.stopPropagation()}>
      <p>{ready ? words.regionDraw : words.regionWaits}</p>
      <button type="button" className="button accent small" disabled={!ready} onClick={onAsk}>
        {words.regionAsk}
      </button>
      <button type="button" className="button small" onClick={onCancel}>
        {t.close}
      </button>
    </div>
  );
}

interface UnderProps {
  state: CompareState;
  found: Comparison;
  onMatched: () => void;
}

/** One line, always there: what is compared or searched, else how to look. */
function UnderPanes({ state, found, onMatched }: UnderProps) {
  const t = useWords();
  const words = useWordsOf(WORDS);
  if (state.overlay && (found.matched || found.matching.loading))
    return <OverlayNote found={found} onMatched={onMatched} />;
  const looked = found.region.data;
  if (state.region && !found.source.error)
    return (
      <p className="under-panes" role="status">
        {found.source.loading || !looked
          ? `${words.regionSearching} …`
          : looked.hits.length
            ? `${words.regionLooked(looked.looked_at, looked.by)} · ${t.took(
                looked.seconds.toFixed(1),
              )}`
            : words.regionNone}
      </p>
    );
  const volumes = found.stacks.ours > 1 || found.stacks.theirs > 1;
  return <p className="under-panes hint-line">{volumes ? words.hintVolumes : words.hint}</p>;
}

/** What the colours mean. */
function OverlayNote({ found, onMatched }: Omit<UnderProps, "state">) {
  const words = useWordsOf(WORDS);
  const { matched, slices } = found;
  if (!matched)
    return (
      <p className="under-panes" role="status" aria-busy="true">
        {words.comparing} …
      </p>
    );
  const [ours, theirs] = [matched.query.slice, matched.hit.slice];
  const away =
    (ours !== null && ours !== slices.ours) || (theirs !== null && theirs !== slices.theirs);
  return (
    <p className="under-panes" role="status">
      <span className="overlay-scale" aria-hidden="true" />
      {words.overlayScale(String(matched.low), String(matched.high))} ·{" "}
      {words.overlayBy(matched.encoder)}
      {away && (
        <>
          {" "}
          · {words.overlaySlices(ours ?? 1, theirs ?? 1)}{" "}
          <button type="button" className="link" onClick={onMatched}>
            {words.goThere}
          </button>
        </>
      )}
    </p>
  );
}
