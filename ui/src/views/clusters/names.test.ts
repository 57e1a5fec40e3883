import { describe, expect, it } from "vitest";
import type { Cluster } from "../../api/clusters";
import { aboutOf } from "./about";
import { arranged, called, day, part } from "./names";
import { WORDS } from "./words";

const cluster = (number: number, size: number, name: string, given_name = ""): Cluster => ({
  cluster: number,
  size,
  name,
  given_name,
  called: given_name || name,
  about: {},
});
const ALL = [
  cluster(0, 50, "CR chest · PA"),
  cluster(1, 70, "unnamed"),
  cluster(2, 50, "MR_brain", "Köpfe"),
  cluster(-1, 9, "in no cluster"),
];
const numbers = (find: string, order: "size" | "name" | "firm") =>
  arranged(ALL, find, order, new Map([[2, { mean: 0.3 }]]), WORDS.en).map((each) => each.cluster);

describe("clusters", () => {
  it("are called as a person said, else as was found, in words", () => {
    expect(ALL.map((each) => called(each, WORDS.de))).toEqual([
      "CR chest · PA",
      "ohne Namen",
      "Köpfe",
      "In keiner Gruppe",
    ]);
  });

  it("are put in order, the number deciding what is equal, and noise stays apart", () => {
    expect(numbers("", "size")).toEqual([1, 0, 2]);
    expect(numbers("", "name")).toEqual([0, 2, 1]);
    expect(numbers("", "firm")).toEqual([2, 0, 1]);
  });

  it("are found by words of their names in any order", () => {
    expect(numbers("pa CHEST", "size")).toEqual([0]);
    expect(numbers("pelvis", "size")).toEqual([]);
  });

  it("tell what can be read of them, and nothing where it cannot", () => {
    const enriched = [
      { field: "modality", value: "CR", share_inside: 1, share_outside: 0.1 },
      { field: "modality" },
    ];
    const about = aboutOf({ ...cluster(0, 1, ""), about: { enriched, words: ["lung", 3] } });
    expect(about.traits).toEqual([{ field: "modality", value: "CR", inside: 1, outside: 0.1 }]);
    expect(about.words).toEqual(["lung"]);
    expect(about.exemplars).toEqual([]);
  });
});

describe("figures", () => {
  it("call nothing all or none that is not", () => {
    expect([0, 0.001, 0.5, 0.999, 1].map(part)).toEqual(["0 %", "< 1 %", "50 %", "99 %", "100 %"]);
  });

  it("read times without a zone as those of the service", () => {
    expect(day("2026-11-27T01:17:27", "en-GB")).toBe(day("2026-11-27T01:17:27Z", "en-GB"));
    expect(day("soon", "en")).toBe("soon");
  });
});
