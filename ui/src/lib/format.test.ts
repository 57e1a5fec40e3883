import { describe, expect, it } from "vitest";
import { decimal, isUid, parts, percent, percentile, shortUid, who } from "./format";
import { LANGUAGES } from "./messages";
import { formatHash, parseHash } from "./route";

describe("figures", () => {
  it.each([
    [100, "99.9"],
    [99.96, "99.9"],
    [99.52, "99.5"],
    [98.99, "98"],
    [0, "0"],
  ])("a percentile of %d is never rounded up to all", (value, said) => {
    expect(percentile(value)).toBe(said);
  });

  it("decimals have the mark of the language", () => {
    expect(percentile(99.52, "de")).toBe("99,5");
    expect(decimal(0.9402, 3, "en")).toBe("0.940");
  });

  it("shares are whole percents", () => {
    expect(percent(0.546)).toBe("55 %");
  });

  it("what is not known leaves no gap", () => {
    expect(who("F", 44.9)).toBe("F 44");
    expect(who("", null)).toBe("");
    expect(who("M", undefined)).toBe("M");
    expect(parts("MR", "", "AX T1", null)).toBe("MR · AX T1");
  });

  it("tells a UID from a phrase", () => {
    expect(isUid("1.2.840.113619.2.1")).toBe(true);
    expect(isUid("2.25.272680549004179869233270855168355040940")).toBe(true);
    expect(isUid("effusion")).toBe(false);
    expect(isUid("3.5 cm")).toBe(false);
    expect(isUid("1.2")).toBe(false);
  });

  it("shows the end of a UID, where UIDs differ", () => {
    expect(shortUid("2.25.272680549004179869233270855168355040940")).toBe("…8355040940");
  });
});

describe("addresses", () => {
  it("are read as they were written", () => {
    const route = parseHash("#/search?study=1.2.3&text=a%3Fb");
    expect(route.view).toBe("search");
    expect(route.params.get("text")).toBe("a?b");
    expect(formatHash(route)).toBe("#/search?study=1.2.3&text=a%3Fb");
  });

  it("of nothing are of no view", () => {
    expect(parseHash("").view).toBe("");
    expect(parseHash("#/").view).toBe("");
  });
});

describe("languages", () => {
  const { en, de } = LANGUAGES;

  it("list the same keys on the sheet", () => {
    expect(de.sheet.length).toBe(en.sheet.length);
    expect(de.sheet.map(([keys]) => keys)).toEqual(en.sheet.map(([keys]) => keys));
  });

  it("name the same fields", () => {
    expect(Object.keys(de.fields)).toEqual(Object.keys(en.fields));
  });
});
