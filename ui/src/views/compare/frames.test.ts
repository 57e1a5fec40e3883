import { describe, expect, it } from "vitest";
import type { FileLook } from "../../api/files";
import { Frames } from "./frames";

function look(slice: number, around: number[] = [], slices = 900): FileLook {
  return {
    modality: "CT",
    slice,
    slices,
    frame: { rows: 512, columns: 512, aspect: 1 },
    picture: `picture ${slice}`,
    around: Object.fromEntries(around.map((each) => [each, `picture ${each}`])),
  };
}

describe("frames of dropped files", () => {
  it("that came around another are there", () => {
    const frames = new Frames();
    expect(frames.get("a", 0)).toBeUndefined();
    frames.keep("a", look(450), 0);
    frames.keep("a", look(20, [19, 21]), 20);
    expect(frames.get("a", 21)).toMatchObject({ slice: 21, picture: "picture 21", slices: 900 });
    expect(frames.get("a", 22)).toBeUndefined();
    expect(frames.get("a", 0)?.slice).toBe(450);
  });

  it("of one image are its only slice, whatever number is asked for", () => {
    const frames = new Frames();
    frames.keep("a", { ...look(1, [], 1), slice: null }, 0);
    expect(frames.get("a", 7)?.picture).toBe("picture 1");
  });

  it("of another file or window take the place of those before", () => {
    const frames = new Frames();
    frames.keep("a", look(1), 0);
    frames.keep("b", look(2), 2);
    expect(frames.get("a", 1)).toBeUndefined();
    expect(frames.get("b", 0)).toBeUndefined();
    expect(frames.any("b")?.slice).toBe(2);
  });

  it("are the last four hundred", () => {
    const frames = new Frames();
    for (let slice = 1; slice <= 402; slice++) frames.keep("a", look(slice), slice);
    expect(frames.get("a", 2)).toBeUndefined();
    expect(frames.get("a", 3)?.slice).toBe(3);
  });
});
