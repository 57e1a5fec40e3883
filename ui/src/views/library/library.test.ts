import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Job } from "../../api/library";
import { bytes, inWords, lasting, paceOf, when } from "./figures";
import { REASONS } from "./reasons";
import {
  ACTIONS,
  EMPTY,
  formatLibrary,
  grantable,
  JOB_STATES,
  type LibraryState,
  MOST,
  OUTCOMES,
  parseLibrary,
  TABS,
  tabsFor,
} from "./state";

const orNone = (all: readonly string[]) => fc.constantFrom("", ...all);
const words = fc.string({ unit: "grapheme" });
const state: fc.Arbitrary<LibraryState> = fc.record({
  tab: fc.constantFrom(...TABS),
  n: fc.integer({ min: 1, max: MOST }),
  reason: words,
  state: orNone(JOB_STATES),
  kind: words,
  job: words,
  all: fc.boolean(),
  making: fc.boolean(),
  since: fc.constantFrom("", "2026-01-31"),
  actor: words,
  action: orNone(ACTIONS),
  outcome: orNone(OUTCOMES),
});

describe("the address", () => {
  it("holds all of the state, whatever words are in it", () => {
    fc.assert(
      fc.property(state, (each) => {
        const address = formatLibrary(each).toString();
        expect(parseLibrary(new URLSearchParams(address))).toEqual(each);
      }),
    );
  });

  it("is empty at the overview", () => {
    expect(formatLibrary(EMPTY).toString()).toBe("");
    expect(parseLibrary(new URLSearchParams())).toEqual(EMPTY);
  });

  it.each(["tab=nothing", "n=zero", "n=-1", "state=lost", "since=soon", "action=steal", "all=1"])(
    "takes what is wrong in it for what is usual: %s",
    (query) => {
      const { n, ...rest } = parseLibrary(new URLSearchParams(query));
      expect(n).toBeGreaterThan(0);
      expect({ ...rest, n: EMPTY.n }).toEqual(EMPTY);
    },
  );
});

describe("rights", () => {
  it("show no tab that would only be refused", () => {
    expect(tabsFor("reader")).toEqual(["overview", "ingest", "rejected", "spaces"]);
    expect(tabsFor("operator")).not.toContain("audit");
    expect(tabsFor("admin")).toEqual([...TABS]);
  });

  it("let nobody make a key that is stronger than theirs", () => {
    expect(grantable("curator")).toEqual(["curator", "reader", "monitor"]);
  });
});

describe("figures", () => {
  it.each([
    [0, "0 B"],
    [999, "999 B"],
    [1_000, "1 kB"],
    [11_542_528, "12 MB"],
    [1_250_000, "1.3 MB"],
    [999_999, "1 MB"],
    [7.5e15, "7.5 PB"],
  ])("%d bytes are %s", (value, said) => expect(bytes(value, "en")).toBe(said));

  it.each([
    [0.2, "< 1 s"],
    [48, "48 s"],
    [125, "2 min"],
    [7_500, "2 h 5 min"],
    [400_000, "5 d"],
  ])("%d seconds are %s", (seconds, said) => expect(lasting(seconds)).toBe(said));

  it("have no time where nothing was told", () => {
    expect(when("", "en")).toBe("");
    expect(when("soon", "en")).toBe("");
  });

  it("tell how fast a job goes, and nothing where that is not known", () => {
    const told = { started_at: "2026-01-01T00:00:00Z", updated_at: "2026-01-01T00:00:10Z" };
    const job = { ...told, done: 50, total: 200 } as Job;
    expect(paceOf(job)).toEqual({ share: 0.25, perSecond: 5, left: 30 });
    expect(paceOf({ ...job, total: 0 })).toEqual({ share: null, perSecond: 5, left: null });
    expect(paceOf({ ...job, done: 0, started_at: "" })).toEqual({
      share: 0,
      perSecond: null,
      left: null,
    });
  });

  it("read a value of JSON as one line", () => {
    expect(inWords({ whole: true, head: { number: 3 }, of: ["a", "b"], none: null })).toBe(
      "whole true · head number 3 · of a, b · none –",
    );
  });
});

describe("reasons", () => {
  it("are the same in both languages, and each says what to do", () => {
    expect(Object.keys(REASONS.de).sort()).toEqual(Object.keys(REASONS.en).sort());
    for (const [what, todo] of [...Object.values(REASONS.en), ...Object.values(REASONS.de)])
      expect(what && todo).toBeTruthy();
  });
});
