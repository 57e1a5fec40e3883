import type { Method } from "../../api/clusters";
import { useWordsOf } from "../../lib/settings";
import { type Field, fieldsOf } from "./options";
import type { Wanted } from "./state";
import { WORDS } from "./words";

interface MethodsProps {
  methods: Method[] | undefined;
  chosen: string;
  onChoose: (name: string) => void;
}

/** The ways to cluster, each with what it is good for; those told of in the order of the words. */
export function Methods({ methods, chosen, onChoose }: MethodsProps) {
  const w = useWordsOf(WORDS);
  const told = Object.keys(w.methods);
  const place = ({ name }: Method) => (told.includes(name) ? told.indexOf(name) : told.length);
  return (
    <fieldset className="methods" aria-busy={!methods}>
      <legend>{w.method}</legend>
      {!methods && <span className="bone methods-bone" />}
      {methods
        ?.toSorted((a, b) => place(a) - place(b))
        .map((method) => {
          const words = w.methods[method.name];
          return (
            <label key={method.name} className="method">
              <input
                type="radio"
                name="method"
                checked={method.name === chosen}
                onChange={() => onChoose(method.name)}
              />
              <span>
                <strong>
                  {method.name}
                  {method === methods[0] && <span className="label">{w.usual}</span>}
                </strong>
                <span>{words?.for ?? method.about}</span>
                {words && <span className="cost">{words.cost}</span>}
              </span>
            </label>
          );
        })}
    </fieldset>
  );
}

interface OptionsProps {
  method: Method;
  wanted: Wanted;
  onChange: (change: Partial<Wanted>) => void;
}

/** The parameters of a method, for who knows them. */
export function Options({ method, wanted, onChange }: OptionsProps) {
  const w = useWordsOf(WORDS);
  const said = new Map(wanted.options);
  function put(name: string, value: string, usual: string): void {
    const next = new Map(said);
    if (value === "" || value === usual) next.delete(name);
    else next.set(name, value);
    onChange({ options: [...next] });
  }
  return (
    <details className="options" open={said.size > 0 || wanted.seed !== ""}>
      <summary>
        {w.options} <span className="aside">{w.optionsHint}</span>
      </summary>
      <div className="option-fields">
        {fieldsOf(method).map((field) => (
          <label key={field.name} htmlFor={`option-${field.name}`}>
            <span className="mono">{field.name}</span>
            <Control
              field={field}
              value={said.get(field.name) ?? ""}
              onChange={(value) => put(field.name, value, field.usual)}
            />
          </label>
        ))}
        <label>
          <span>{w.seed}</span>
          <input
            type="number"
            min={0}
            value={wanted.seed}
            placeholder="0"
            onChange={(event) => onChange({ seed: event.target.value })}
          />
        </label>
      </div>
    </details>
  );
}

interface ControlProps {
  field: Field;
  value: string;
  onChange: (value: string) => void;
}

function Control({ field, value, onChange }: ControlProps) {
  const w = useWordsOf(WORDS);
  if (field.kind === "boolean" || field.kind === "choice") {
    const choices = field.kind === "boolean" ? ["false", "true"] : field.choices;
    const shown = (each: string) =>
      field.kind === "choice" ? each : each === "true" ? w.yes : w.no;
    return (
      <select
        id={`option-${field.name}`}
        value={value || field.usual}
        onChange={(event) => onChange(event.target.value)}
      >
        {choices.map((each) => (
          <option key={each} value={each}>
            {shown(each)}
          </option>
        ))}
      </select>
    );
  }
  const numeric = field.kind === "integer" || field.kind === "number";
  return (
    <input
      id={`option-${field.name}`}
      type={numeric ? "number" : "text"}
      step={field.kind === "integer" ? 1 : "any"}
      value={value}
      placeholder={field.usual || w.auto}
      onChange={(event) => onChange(event.target.value)}
    />
  );
}
