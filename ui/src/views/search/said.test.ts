import { describe, expect, it } from "vitest";
import { type Said, unlikeAll, votesOf } from "./said";

const said = (reference: string, flagged: boolean, p_value: number): Said => ({
  reference,
  flagged,
  p_value,
  reason: "",
});

describe("what references say of a query", () => {
  it("is nothing where none can judge it", () => {
    expect(unlikeAll([])).toBeUndefined();
  });
  it("is nothing where one finds it usual: a head is unlike chests", () => {
    expect(unlikeAll([said("chests", true, 0.01), said("heads", false, 0.6)])).toBeUndefined();
  });
  it("is said by the one that fits best where all find it unusual", () => {
    const answers = [said("chests", true, 0.01), said("heads", true, 0.04)];
    expect(unlikeAll(answers)?.reference).toBe("heads");
  });
});

describe("votes of the nearest", () => {
  it("are on what images show, and not on where they come from", () => {
    const rest = { share: 1, probability: null, voters: 3, note: "", fitted_on: 0, error: null };
    const votes = [
      { name: "finding", value: "nodule", ...rest },
      { name: "site", value: "harbour", ...rest },
    ];
    expect(votesOf({ votes }).map(({ value }) => value)).toEqual(["nodule"]);
  });
});
