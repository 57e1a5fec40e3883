import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bandOf, labelled, lineOf, scaleOf } from "./chart";
import { furthest, onset, type Report, reportOf, type Step } from "./drift";

describe("a scale", () => {
  it("holds all values and zero, and has few round ticks", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -1e9, max: 1e9 })), (thousandths) => {
        const values = thousandths.map((value) => value / 1000);
        const { low, high, ticks, at } = scaleOf(values, 100, 0);
        expect(low).toBeLessThanOrEqual(Math.min(0, ...values) + 1e-6);
        expect(high).toBeGreaterThanOrEqual(Math.max(0, ...values) - 1e-6);
        expect(ticks.length).toBeGreaterThanOrEqual(2);
        expect(ticks.length).toBeLessThanOrEqual(8);
        expect(at(low)).toBeCloseTo(100);
        expect(at(high)).toBeCloseTo(0);
      }),
    );
  });

  it("of shares is in tenths", () => {
    expect(scaleOf([0.1, 0.37], 100, 0).ticks).toEqual([0, 0.1, 0.2, 0.3, 0.4]);
  });
});

describe("lines and bands", () => {
  it("have gaps where nothing came", () => {
    const point = (x: number) => ({ x, y: 1 });
    expect(lineOf([point(0), undefined, point(2), point(3)])).toBe("M0.0 1.0M2.0 1.0L3.0 1.0");
    const pair = (x: number) => ({ x, low: 0, high: 2 });
    expect(bandOf([pair(0), pair(1), undefined, pair(3)]).split("Z").length - 1).toBe(2);
  });

  it("label no more windows than fit, and always the last", () => {
    expect(labelled(10, 3)).toEqual([1, 5, 9]);
    expect(labelled(2, 9)).toEqual([0, 1]);
  });
});

describe("a report on drift", () => {
  const step = (level: number, alarm = false): Step => ({
    cases: 10,
    mean: level,
    level,
    limit: 0.5,
    alarm,
  });
  const watch = (detector: string, steps: Step[], first: number | null, since: number | null) => ({
    detector,
    group: "",
    first,
    since,
    lasting: false,
    reference: 30,
    own: false,
    steps,
  });
  const report: Report = {
    windows: [],
    watches: [
      watch("knn", [step(0.1), step(0.4)], null, null),
      watch("quality", [step(0.4), step(0.9, true)], 1, 0),
    ],
  };

  it("names the detector that left its limits furthest, and when it began", () => {
    expect(furthest(report)).toBe("quality");
    expect(onset(report, "")).toEqual({ alarm: 1, began: 0 });
    expect(onset(report, "other")).toBeUndefined();
  });

  it("is read from the rows of its job, whatever else lies there", () => {
    const whole = { group: "" };
    const read = reportOf([
      { window: { name: "w", whole } },
      { watch: report.watches[0] },
      { x: 1 },
    ]);
    expect([read.windows.length, read.watches.length]).toEqual([1, 1]);
  });
});
