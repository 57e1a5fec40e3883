import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  EMPTY,
  filterOf,
  formatSearch,
  isWord,
  MOST,
  type Part,
  parseSearch,
  type SearchState,
  toggled,
  withPart,
} from "./state";

const parsed = (query: string) => parseSearch(new URLSearchParams(query));

const word = fc.string({ minLength: 1, unit: "grapheme" }).filter((said) => said.trim() !== "");
const weight = fc
  .integer({ min: 1, max: 16 })
  .chain((quarters) => fc.constantFrom(quarters / 4, -quarters / 4));
const part: fc.Arbitrary<Part> = fc.record({
  kind: fc.constantFrom("uid" as const, "text" as const, "file" as const),
  value: word,
  weight,
});
const state: fc.Arbitrary<SearchState> = fc.record({
  parts: fc.array(part, { maxLength: 5 }),
  choices: fc.array(
    fc.record({ field: fc.constantFrom("modality", "age", "label:finding", "word"), value: word }),
    { maxLength: 5 },
  ),
  filter: fc.string(),
  group: fc.constantFrom("study" as const, "patient" as const),
  k: fc.integer({ min: 1, max: MOST }),
  hit: fc.string(),
  kept: fc.array(word, { maxLength: 3 }),
  dense: fc.boolean(),
});

describe("the address", () => {
  it("holds all of the state, whatever words are in it", () => {
    fc.assert(
      fc.property(state, (each) => {
        const address = formatSearch(each).toString();
        expect(parseSearch(new URLSearchParams(address))).toEqual(each);
      }),
    );
  });

  it("is empty where nothing was asked", () => {
    expect(formatSearch(EMPTY).toString()).toBe("");
    expect(parsed("")).toEqual(EMPTY);
  });

  it("begins a search with nothing but a study, as links from elsewhere do", () => {
    const { parts } = parsed("study=1.2.840.113619.2.1");
    expect(parts).toEqual([{ kind: "uid", value: "1.2.840.113619.2.1", weight: 1 }]);
  });

  it("says by a weight what is liked less, and what is not", () => {
    expect(parsed("study=1.2.3~0.5&text=effusion~-1").parts.map((each) => each.weight)).toEqual([
      0.5, -1,
    ]);
  });

  it("keeps a phrase that ends as a weight does", () => {
    const parts: Part[] = [{ kind: "text", value: "grade ~2", weight: 1 }];
    expect(parseSearch(formatSearch({ ...EMPTY, parts })).parts).toEqual(parts);
  });

  it.each(["k=-3", "k=zero", "k=99999", "group=nobody", "f=modality", "text=&study=", "x=1"])(
    "takes what is wrong in it for what is usual: %s",
    (query) => {
      const { k, group, choices, parts } = parsed(query);
      expect(k).toBeGreaterThan(0);
      expect(k).toBeLessThanOrEqual(MOST);
      expect([group, choices, parts]).toEqual(["study", [], []]);
    },
  );
});

describe("filters", () => {
  it("take any value of one field, and all fields together", () => {
    const choices = [
      { field: "modality", value: "CR" },
      { field: "modality", value: "DX" },
      { field: "sex", value: "F" },
    ];
    expect(filterOf(choices, "")).toBe('modality in ("CR", "DX") and sex="F"');
  });

  it("turn decades and years into spans", () => {
    expect(filterOf([{ field: "age", value: "60-69" }], "")).toBe("(age>=60 and age<70)");
    expect(
      filterOf(
        [
          { field: "year", value: "2019" },
          { field: "year", value: "2021" },
        ],
        "",
      ),
    ).toBe(
      "((study_date>=2019-01-01 and study_date<=2019-12-31) or (study_date>=2021-01-01 and study_date<=2021-12-31))",
    );
  });

  it("want any of several words of reports, however they are written", () => {
    const word = (value: string) => ({ field: "word", value });
    expect(filterOf([word("erguss"), { field: "sex", value: "F" }, word("größe")], "")).toBe(
      'word in ("erguss", "größe") and sex="F"',
    );
  });

  it("know one word from none and from several", () => {
    for (const one of ["effusion", "Größe", "T2", "Ro\u0308ntgen", "日本"])
      expect(isWord(one)).toBe(true);
    for (const no of ["", "x-ray", "two words", "effus*", "a_b", "\u0308"])
      expect(isWord(no)).toBe(false);
  });

  it("quote names of labels and double the quotes within", () => {
    expect(filterOf([{ field: "label:finding labels", value: 'so "called"' }], "")).toBe(
      'label:"finding labels"="so ""called"""',
    );
  });

  it("hold what was typed together", () => {
    expect(filterOf([{ field: "sex", value: "M" }], "age<5 or age>90")).toBe(
      'sex="M" and (age<5 or age>90)',
    );
    expect(filterOf([], " age<5 ")).toBe("age<5");
  });
});

describe("choosing", () => {
  it("twice is not choosing", () => {
    const choice = { field: "sex", value: "F" };
    expect(toggled([], choice)).toEqual([choice]);
    expect(toggled(toggled([], choice), choice)).toEqual([]);
  });

  it("the same part again changes its weight alone", () => {
    const parts = withPart([{ kind: "uid", value: "a", weight: 1 }], {
      kind: "uid",
      value: "a",
      weight: -1,
    });
    expect(parts).toEqual([{ kind: "uid", value: "a", weight: -1 }]);
  });
});
