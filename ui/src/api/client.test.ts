import { expect, it, vi } from "vitest";

vi.stubGlobal("window", { location: { origin: "http://127.0.0.1" } });
const { endingOf, renderedUrl } = await import("./client");

it("sends of the name of a file nothing but its ending", () => {
  expect(endingOf("Doe^Jane 1950.dcm")).toBe(".dcm");
  expect(endingOf("ct.nii.gz")).toBe(".nii.gz");
  expect(endingOf("IM00001")).toBe("");
  expect(endingOf("12.3.Müller")).toBe("");
});

it("asks for a frame with what was chosen, and no more", () => {
  expect(renderedUrl("abc", {})).toBe("/v1/items/abc/rendered?size=768");
  expect(renderedUrl("abc", { slice: 3, window: { center: -600, width: 1500 }, size: 512 })).toBe(
    "/v1/items/abc/rendered?slice=3&window=-600%2C1500&size=512",
  );
});
