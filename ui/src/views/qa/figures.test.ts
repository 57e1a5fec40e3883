import { describe, expect, it } from "vitest";
import { figure, oneIn, outOf, pValue, sentence, share } from "./figures";

describe("p-values", () => {
  it.each([
    [0.5, "0.50"],
    [0.0222, "0.022"],
    [0.003, "0.003"],
    [0.00001, "<0.0001"],
  ])("%d is told with two digits", (p, said) => {
    expect(pValue(p)).toBe(said);
  });

  it("are told as one study in so many, where that says something", () => {
    expect(oneIn(0.01)).toBe(100);
    expect(oneIn(0.9)).toBeUndefined();
    expect(oneIn(0)).toBeUndefined();
  });
});

describe("rates", () => {
  it.each([
    [0.01, 1, 100],
    [0.05, 5, 100],
    [0.001, 1, 1000],
    [0.015, 1.5, 100],
  ])("%d is %d of %d", (rate, n, of) => {
    expect(outOf(rate)).toEqual({ n, of });
  });

  it("of little are told to a tenth of a percent", () => {
    expect(share(0.054)).toBe("5.4 %");
    expect(share(0.5)).toBe("50 %");
    expect(share(0)).toBe("0 %");
  });
});

describe("figures", () => {
  it("of any size have three digits that count", () => {
    expect([2004.585, 0.38422, 0, -1.5, 1e9].map(figure)).toEqual([
      "2005",
      "0.384",
      "0",
      "-1.5",
      "1.00e+9",
    ]);
    expect(figure(Number.NaN)).toBe("–");
  });

  it("sentences begin large and end", () => {
    expect(sentence("the last 40% are of one value")).toBe("The last 40% are of one value.");
  });
});
