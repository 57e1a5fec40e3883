import { createContext, useContext, useEffect, useState } from "react";
import { LANGUAGES, type Language, type Messages } from "./messages";

export type Theme = "dark" | "light";

/** What somebody chose for this browser: no cookie, nothing leaves it. */
export interface Settings {
  theme: Theme;
  language: Language;
  setTheme: (theme: Theme) => void;
  setLanguage: (language: Language) => void;
}

function stored(name: string): string | null {
  try {
    return window.localStorage.getItem(`syntopy.${name}`);
  } catch {
    return null; // storage is switched off: the choice holds for this visit
  }
}

export function remember(name: string, value: string): void {
  try {
    window.localStorage.setItem(`syntopy.${name}`, value);
  } catch {
    // as above
  }
}

export const remembered = (name: string): boolean => stored(name) !== null;

function firstLanguage(): Language {
  const wanted = stored("language") ?? navigator.language.slice(0, 2);
  return wanted in LANGUAGES ? (wanted as Language) : "en";
}

export function useStoredSettings(): Settings {
  const [theme, setTheme] = useState<Theme>(stored("theme") === "light" ? "light" : "dark");
  const [language, setLanguage] = useState<Language>(firstLanguage);
  useEffect(() => {
    document.documentElement.dataset.theme = theme;
    document.documentElement.lang = language;
  }, [theme, language]);
  return {
    theme,
    language,
    setTheme: (next) => {
      remember("theme", next);
      setTheme(next);
    },
    setLanguage: (next) => {
      remember("language", next);
      setLanguage(next);
    },
  };
}

export const SettingsContext = createContext<Settings | null>(null);

export function useSettings(): Settings {
  const found = useContext(SettingsContext);
  if (!found) throw new Error("outside of the application");
  return found;
}

/** The words of the page in the language that was chosen. */
export const useWords = (): Messages => LANGUAGES[useSettings().language];

/** Words that one view alone needs, so that they come with it. */
export const useWordsOf = <T>(words: Record<Language, T>): T => words[useSettings().language];
