import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { EMPTY, formatQa, parseQa, type QaState, SHOWN, scoresOf, TABS } from "./state";

const word = fc.string({ maxLength: 12 });
const states: fc.Arbitrary<QaState> = fc.record({
  tab: fc.constantFrom(...TABS),
  reference: word,
  study: word,
  item: word,
  show: fc.constantFrom(...SHOWN),
  order: fc.constantFrom("new" as const, "odd" as const),
  choices: fc.array(fc.record({ field: fc.stringMatching(/^[a-z:_]{1,8}$/), value: word }), {
    maxLength: 3,
  }),
  filter: word,
  job: word,
  detector: word,
});

describe("the address", () => {
  it("is read as it was written", () => {
    fc.assert(
      fc.property(states, (state) => {
        const written = new URLSearchParams(formatQa(state).toString());
        expect(parseQa(written)).toEqual(state);
      }),
    );
  });

  it("of the usual is empty", () => {
    expect(formatQa(EMPTY).toString()).toBe("");
  });

  it("that tells nonsense shows the usual", () => {
    expect(parseQa(new URLSearchParams("tab=x&show=y&order=z&f=nothing"))).toEqual(EMPTY);
  });
});

describe("what is asked", () => {
  it("for the work that is left is what is flagged and has no verdict", () => {
    const asked = scoresOf({ ...EMPTY, show: "open" }, "chest");
    expect(asked).toEqual({
      reference: "chest",
      flagged: true,
      decided: false,
      filter: "",
      sort: "-judged_at",
    });
  });

  it("joins what was chosen and what was typed", () => {
    const choices = [{ field: "modality", value: "CR" }];
    const asked = scoresOf({ ...EMPTY, show: "all", choices, filter: "age>=60" }, "chest");
    expect(asked.filter).toBe('modality="CR" and (age>=60)');
    expect(asked).not.toHaveProperty("flagged");
  });
});
