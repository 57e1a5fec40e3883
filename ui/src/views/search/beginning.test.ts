import { describe, expect, it } from "vitest";
import { inTurns, phrasesOf } from "./beginning";

const facet = (field: string, ...values: string[]) => ({
  field,
  values: values.map((value) => ({ value, studies: 1 })),
  more: 0,
  unknown: 0,
});

describe("phrases to begin with", () => {
  it("are findings of the library's own labels, in words", () => {
    const facets = [
      facet("modality", "CT", "MR", "CR", "US", "DX"),
      facet("label:site", "city"),
      facet("label:finding", "chest-normal", "chest-effusion", "No finding", "liver_lesion"),
    ];
    expect(phrasesOf(facets)).toEqual(["chest effusion", "liver lesion"]);
  });

  it("are none where nothing is labelled", () => {
    expect(phrasesOf([facet("modality", "CT")])).toEqual([]);
  });
});

describe("studies to begin with", () => {
  it("are one of each kind in turns, and each kind keeps its order", () => {
    const item = (id: string, modality: string) => ({ id, modality, body_part: "" });
    const items = [item("a", "CR"), item("b", "CR"), item("c", "CR"), item("d", "CT")];
    expect(inTurns(items).map(({ id }) => id)).toEqual(["a", "d", "b", "c"]);
    expect(inTurns([])).toEqual([]);
  });
});
