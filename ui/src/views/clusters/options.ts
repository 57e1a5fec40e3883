import type { Method } from "../../api/clusters";

/** A parameter of a method, as a field of the form. */
export interface Field {
  name: string;
  kind: "integer" | "number" | "boolean" | "choice" | "text";
  choices: string[];
  /** What it is unless something else is said; empty where the method finds out. */
  usual: string;
}

interface Schema {
  type?: unknown;
  enum?: unknown;
  anyOf?: unknown;
  default?: unknown;
}

const isSchema = (value: unknown): value is Schema => typeof value === "object" && value !== null;

function kindOf(schema: Schema): Field["kind"] {
  if (Array.isArray(schema.enum)) return "choice";
  const several = Array.isArray(schema.anyOf) ? schema.anyOf.filter(isSchema) : [schema];
  const types = several.map((each) => each.type);
  if (types.includes("integer")) return "integer";
  if (types.includes("number")) return "number";
  return types.includes("boolean") ? "boolean" : "text";
}

/** The fields of a method's parameters, in their order. */
export function fieldsOf(method: Method): Field[] {
  return Object.entries(method.options).flatMap(([name, schema]) =>
    isSchema(schema)
      ? [
          {
            name,
            kind: kindOf(schema),
            choices: Array.isArray(schema.enum) ? schema.enum.map(String) : [],
            usual: schema.default === null ? "" : String(schema.default ?? ""),
          },
        ]
      : [],
  );
}

/** What was typed as the service takes it: numbers as numbers, yes and no as such. */
export function typedValue(field: Field, said: string): string | number | boolean {
  if (field.kind === "boolean") return said === "true";
  const number = Number(said);
  const numeric = field.kind === "integer" || field.kind === "number";
  return numeric && said.trim() !== "" && Number.isFinite(number) ? number : said;
}

/** A name that no clustering has yet: `hdbscan`, else `hdbscan 2` and so on. */
export function freeName(method: string, taken: readonly string[]): string {
  if (!taken.includes(method)) return method;
  let number = 2;
  while (taken.includes(`${method} ${number}`)) number += 1;
  return `${method} ${number}`;
}
