import { describe, expect, it } from "vitest";
import { groupsOf, type Watch } from "./drift";

const watch = (group: string, ...levels: number[]): Watch => ({
  detector: "knn",
  group,
  first: null,
  since: null,
  lasting: false,
  reference: 40,
  own: false,
  steps: levels.map((level) => ({ cases: 9, mean: level, level, limit: 0.5, alarm: level > 0.5 })),
});

describe("groups of a report", () => {
  it("begin with all studies, then with what changed most", () => {
    const watches = [
      watch("city", 0.1),
      watch("harbour", 0.2, -0.9),
      watch("", 0.3),
      watch("hill"),
    ];
    expect(groupsOf({ windows: [], watches })).toEqual(["", "harbour", "city", "hill"]);
  });
});
