import { useWords } from "../lib/settings";
import { type Light, type Values, WINDOWS } from "./frame";

interface WindowPickProps {
  values: Values | undefined;
  onChange: (values: Values | undefined) => void;
}

/** Windows of CT by their names. */
export function WindowPick({ values, onChange }: WindowPickProps) {
  const t = useWords();
  const place = placeOfWindow(values);
  return (
    <label className="pick">
      {t.window}
      <select
        value={place}
        onChange={(event) => onChange(WINDOWS[Number(event.target.value || "-1")])}
      >
        <option value="">{t.windowAuto}</option>
        {WINDOWS.map(({ center, width }, at) => (
          <option key={t.windows[at]} value={at}>
            {t.windows[at]} {center} / {width}
          </option>
        ))}
        {values && place === OTHER && (
          <option value={OTHER}>
            {values.center} / {values.width}
          </option>
        )}
      </select>
    </label>
  );
}

interface LightPickProps {
  light: Light;
  onChange: (light: Light) => void;
}

/** Brightness and contrast of what is in no unit. */
export function LightPick({ light, onChange }: LightPickProps) {
  const t = useWords();
  return (
    <>
      {slider(t.brightness, light.brightness, 0.1, 2, (brightness) =>
        onChange({ ...light, brightness }),
      )}
      {slider(t.contrast, light.contrast, 0.1, 3, (contrast) => onChange({ ...light, contrast }))}
    </>
  );
}

const OTHER = "other";

function placeOfWindow(values: Values | undefined): string {
  if (!values) return "";
  const at = WINDOWS.findIndex(
    ({ center, width }) => center === values.center && width === values.width,
  );
  return at < 0 ? OTHER : String(at);
}

function slider(
  label: string,
  value: number,
  least: number,
  most: number,
  set: (value: number) => void,
) {
  return (
    <label className="pick">
      {label}
      <input
        type="range"
        min={least}
        max={most}
        step={0.05}
        value={value}
        onChange={(event) => set(Number(event.target.value))}
      />
    </label>
  );
}
