import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { EMPTY, formatViewer, parseViewer, type ViewerState } from "./state";

const number = fc.double({ noNaN: true, noDefaultInfinity: true }).map((each) => each + 0);
const state: fc.Arbitrary<ViewerState> = fc.record({
  study: fc.string(),
  series: fc.string(),
  at: fc.nat(),
  window: fc.option(fc.record({ center: number, width: number.filter((width) => width > 0) }), {
    nil: undefined,
  }),
  invert: fc.boolean(),
  across: fc.boolean(),
  down: fc.boolean(),
});

describe("the address of the viewer", () => {
  it("holds all of the state", () => {
    fc.assert(
      fc.property(state, (each) => {
        const address = formatViewer(each).toString();
        expect(parseViewer(new URLSearchParams(address))).toEqual(each);
      }),
    );
  });

  it("is empty where nothing is shown", () => {
    expect(formatViewer(EMPTY).toString()).toBe("");
    expect(parseViewer(new URLSearchParams())).toEqual(EMPTY);
  });

  it.each(["at=-3", "at=1.5", "at=x", "window=40", "window=a,b", "window=40,0", "flip=x"])(
    "takes %s for nothing",
    (said) => {
      expect(parseViewer(new URLSearchParams(said))).toEqual(EMPTY);
    },
  );
});
