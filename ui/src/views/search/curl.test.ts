import { describe, expect, it } from "vitest";
import { curlOf } from "./curl";

const of = (text: string) => {
  const example = { uid: "", text, report: "", weight: 1 };
  const body = { examples: [example], k: 24, filter: "age>=60", group: "study" };
  return curlOf("http://here", body, 0);
};

describe("a search as a command", () => {
  it("says what is asked, and nothing that is as usual", () => {
    expect(of("effusion").split(" \\\n  ")).toEqual([
      "curl http://here/v1/search",
      "-H 'Content-Type: application/json'",
      `-d '{"examples":[{"text":"effusion"}],"k":24,"filter":"age>=60"}'`,
    ]);
  });

  it("keeps an apostrophe from ending the words", () => {
    expect(of("Kerley's lines")).toContain("Kerley'\\''s lines");
  });

  it("names no file, and of many only that there are more", () => {
    const said = curlOf("http://here", { k: 5 }, 300);
    expect(said).toContain("/v1/search/files");
    expect(said.match(/-F file=/g)).toHaveLength(4);
    expect(curlOf("http://here", { k: 5 }, 1)).toMatch(/-F file=@FILE$/);
  });
});
