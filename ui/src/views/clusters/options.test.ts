import { describe, expect, it } from "vitest";
import { fieldsOf, freeName, typedValue } from "./options";

const method = {
  name: "scan",
  about: "SCAN's clustering step.",
  options: {
    k: { default: 50, type: "integer" },
    smallest: { anyOf: [{ type: "integer" }, { type: "null" }], default: null },
    rate: { default: 0.01, type: "number" },
    self_label: { default: false, type: "boolean" },
    prior: { default: "estimated", enum: ["estimated", "uniform"], type: "string" },
    device: { default: "auto", type: "string" },
  },
};

describe("the options of a method", () => {
  it("become fields of the right kind with what is usual", () => {
    expect(fieldsOf(method).map(({ name, kind, usual }) => [name, kind, usual])).toEqual([
      ["k", "integer", "50"],
      ["smallest", "integer", ""],
      ["rate", "number", "0.01"],
      ["self_label", "boolean", "false"],
      ["prior", "choice", "estimated"],
      ["device", "text", "auto"],
    ]);
  });

  it("are sent as what they are, and nonsense as it was typed, to be refused", () => {
    const [k, , rate, label, , device] = fieldsOf(method);
    if (!k || !rate || !label || !device) throw new Error("fields are missing");
    expect(typedValue(k, "12")).toBe(12);
    expect(typedValue(k, "many")).toBe("many");
    expect(typedValue(rate, "0.5")).toBe(0.5);
    expect(typedValue(label, "true")).toBe(true);
    expect(typedValue(device, "12")).toBe("12");
  });
});

describe("the name of a new clustering", () => {
  it("is one that is free", () => {
    expect(freeName("graph", ["all"])).toBe("graph");
    expect(freeName("graph", ["graph", "graph 2"])).toBe("graph 3");
  });
});
