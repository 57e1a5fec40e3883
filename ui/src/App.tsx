import { Suspense, useEffect, useMemo, useState } from "react";
import { useSignedOut } from "./lib/ask";
import { useKeys } from "./lib/keys";
import { go, parseHash, useHash } from "./lib/route";
import { SettingsContext, useSettings, useStoredSettings, useWords } from "./lib/settings";
import { Boundary } from "./parts/Boundary";
import { KeySheet } from "./parts/Dialog";
import { Icon, type IconName } from "./parts/Icon";
import { SignIn } from "./parts/SignIn";
import { IN_RAIL, VIEWS } from "./views";

export function App() {
  const settings = useStoredSettings();
  return (
    <SettingsContext value={settings}>
      <Frame />
    </SettingsContext>
  );
}

const PLACES = Object.fromEntries(
  IN_RAIL.map(({ name }, at) => [
    String(at + 1),
    () => go({ view: name, params: new URLSearchParams() }),
  ]),
);

/** The rail, the view that the address names, and what lies above everything. */
function Frame() {
  const t = useWords();
  const hash = useHash();
  const { view, params } = useMemo(() => parseHash(hash), [hash]);
  const [sheet, setSheet] = useState(false);
  const [signedOut, signedIn] = useSignedOut();
  const shown = VIEWS.find((each) => each.name === view) ?? VIEWS[0];
  useKeys({ "?": () => setSheet(!sheet), ...PLACES }, !signedOut);
  useEffect(() => {
    document.title = shown ? `${shown.title(t)} · Syntopy` : "Syntopy";
  }, [shown, t]);
  return (
    <div className="frame">
      <a className="skip" href="#main" onClick={skip}>
        {t.skip}
      </a>
      <nav className="rail" aria-label="Syntopy">
        <Mark />
        {IN_RAIL.map((each) => (
          <a
            key={each.name}
            href={`#/${each.name}`}
            aria-current={each === shown ? "page" : undefined}
          >
            <Icon name={each.icon} size={20} />
            <span>{each.title(t)}</span>
          </a>
        ))}
        <Choices onSheet={() => setSheet(true)} />
      </nav>
      {shown && (
        <Boundary key={shown.name}>
          <Suspense fallback={<Coming />}>
            <shown.component params={params} />
          </Suspense>
        </Boundary>
      )}
      {sheet && <KeySheet onClose={() => setSheet(false)} />}
      {signedOut && <SignIn onDone={signedIn} />}
    </div>
  );
}

/** Where a view will be, while its part of the page is loaded. */
function Coming() {
  return (
    <main id="main" tabIndex={-1} aria-busy="true">
      <div className="coming-view bone" />
    </main>
  );
}

function skip(event: { preventDefault: () => void }): void {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

function Mark() {
  return (
    <svg className="mark" viewBox="0 0 32 32" width="30" height="30" aria-hidden="true">
      <circle cx="12.5" cy="16" r="8" />
      <circle cx="19.5" cy="16" r="8" />
    </svg>
  );
}

function Choices({ onSheet }: { onSheet: () => void }) {
  const t = useWords();
  const { theme, language, setTheme, setLanguage } = useSettings();
  const choice = (icon: IconName, label: string, act: () => void) => (
    <button type="button" onClick={act} title={label} aria-label={label}>
      <Icon name={icon} size={20} />
    </button>
  );
  return (
    <div className="rail-end">
      {choice("sun", t.theme, () => setTheme(theme === "dark" ? "light" : "dark"))}
      {choice("globe", t.language, () => setLanguage(language === "en" ? "de" : "en"))}
      {choice("keyboard", t.keys, onSheet)}
    </div>
  );
}
