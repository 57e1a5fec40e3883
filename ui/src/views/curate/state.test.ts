import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Entry, entered, settled } from "./entries";
import { type CurateState, formatCurate, LISTS, LOOKS, parseCurate, START } from "./state";
import { defaults, labelOf, parametersOf, queueOf, TASKS, taskOf } from "./tasks";

const state: fc.Arbitrary<CurateState> = fc.record({
  queue: fc.string(),
  at: fc.string(),
  list: fc.constantFrom(...LISTS),
  look: fc.constantFrom(...LOOKS),
});

describe("the address", () => {
  it("holds all of the state, whatever a queue is called", () => {
    fc.assert(
      fc.property(state, (each) => {
        const address = formatCurate(each).toString();
        expect(parseCurate(new URLSearchParams(address))).toEqual(each);
      }),
    );
  });

  it("is empty at the start, and takes what is wrong in it for what is usual", () => {
    expect(formatCurate(START).toString()).toBe("");
    expect(parseCurate(new URLSearchParams("list=maybe&look=through&x=1"))).toEqual(START);
  });
});

describe("queues", () => {
  it("tell their task and their label by their name", () => {
    for (const task of TASKS) {
      expect(taskOf(queueOf(task))).toBe(task);
      expect(taskOf(queueOf(task, "finding: second"))).toBe(task);
    }
    expect(labelOf(queueOf("labels", "finding: second"))).toBe("finding: second");
    expect(taskOf("my own queue")).toBeUndefined();
  });

  it("are named in what a job is asked with, and what was left empty is not said", () => {
    expect(parametersOf("duplicates", defaults("duplicates", ""), " ")).toEqual({
      pixels: true,
      queue: "duplicates",
    });
    expect(
      parametersOf("labels", { label: "finding", classifier: "knn" }, "modality=CR"),
    ).toMatchObject({ queue: "label-errors:finding", filter: "modality=CR" });
    expect(parametersOf("outliers", { count: "7", run: "" }, "")).toEqual({
      count: 7,
      queue: "outliers",
    });
  });
});

const entry = (id: number, subject: string, version: number): Entry => ({
  id,
  queue: "q",
  subject,
  verdict: "accept",
  comment: "",
  labels: [],
  version,
});

describe("decisions that are not sent yet", () => {
  it("are replaced by a later one about the same subject, but for the one that is on its way", () => {
    const list = entered([entry(1, "a", 0), entry(2, "b", 0)], entry(3, "b", 0), 1);
    expect(list.map((each) => each.id)).toEqual([1, 3]);
    const twice = entered([entry(1, "a", 0)], entry(2, "a", 0), 1);
    expect(twice.map((each) => each.id)).toEqual([1, 2]);
  });

  it("are made from what the one before them left", () => {
    const list = settled([entry(1, "a", 0), entry(2, "a", 0), entry(3, "b", 5)], 1, "q", "a", 1);
    expect(list.map(({ id, version }) => [id, version])).toEqual([
      [2, 1],
      [3, 5],
    ]);
  });
});
