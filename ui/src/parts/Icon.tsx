const PATHS = {
  search: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14Zm9 16-4.2-4.2",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8ZM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.4 1.4M17.6 17.6 19 19M5 19l1.4-1.4M17.6 6.4 19 5",
  globe: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18ZM3 12h18M12 3c3 3 3 15 0 18M12 3c-3 3-3 15 0 18",
  keyboard: "M3 7h18v10H3zM7 11h.01M11 11h.01M15 11h.01M8 14h8",
  file: "M14 3H6v18h12V7ZM14 3v4h4",
  text: "M5 6h14M12 6v13",
  picture: "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4",
  close: "M6 6l12 12M18 6 6 18",
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  pin: "M9 4h6l-1 6 3 3v2H7v-2l3-3ZM12 15v6",
  left: "M15 5l-7 7 7 7",
  right: "M9 5l7 7-7 7",
  cards: "M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM13 13h7v7h-7z",
  list: "M4 6h16M4 12h16M4 18h16",
  filter: "M4 6h16M7 12h10M10 18h4",
  warn: "M12 4 2.5 20h19ZM12 10v4M12 17h.01",
  info: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18ZM12 11v5M12 8h.01",
  out: "M14 4h6v6M20 4l-9 9M18 14v6H4V6h6",
  compare: "M4 4h7v16H4zM13 4h7v16h-7z",
  map: "M6 7h.01M10 5h.01M9 10h.01M15 8h.01M18 11h.01M7 16h.01M12 15h.01M11 19h.01M17 16h.01M19 19h.01",
  clusters:
    "M7 4a3 3 0 1 0 0 6 3 3 0 0 0 0-6ZM17 7a3 3 0 1 0 0 6 3 3 0 0 0 0-6ZM9 14a3 3 0 1 0 0 6 3 3 0 0 0 0-6Z",
  curate: "M4 7h10M4 12h7M4 17h7M14 16l2.5 2.5L21 13",
  qa: "M12 3l8 3v6c0 5-3.5 8-8 9-4.5-1-8-4-8-9V6ZM8.5 12l2.5 2.5 4.5-5",
  library:
    "M4 5c0-2.7 16-2.7 16 0v14c0 2.7-16 2.7-16 0ZM4 5c0 2.7 16 2.7 16 0M4 12c0 2.7 16 2.7 16 0",
  check: "M5 13l4.5 4.5L19 7",
  undo: "M9 7 4 12l5 5M4 12h10a6 6 0 0 1 6 6",
  send: "M4 12 20 4l-5 16-3-7Z",
  edit: "M4 20h4L19 9l-4-4L4 16ZM13 7l4 4",
  download: "M12 4v11M7 11l5 5 5-5M4 20h16",
  play: "M7 5l12 7-12 7Z",
  key: "M8 12a4 4 0 1 0 0 .01M12 12h9M18 12v4M15 12v3",
  link: "M10 14a4 4 0 0 1 0-5.7l3-3a4 4 0 0 1 5.7 5.7L17 12.7M14 10a4 4 0 0 1 0 5.7l-3 3A4 4 0 0 1 5.3 13L7 11.3",
  mirror: "M12 3v18M9 7 4 17h5ZM15 7l5 10h-5Z",
  upside: "M3 12h18M7 9l10-5v5ZM7 15l10 5v-5Z",
  heat: "M4 4h16v16H4zM4 9.3h16M4 14.7h16M9.3 4v16M14.7 4v16",
  lasso:
    "M12 4c5 0 9 2.2 9 5.5S17 15 12 15s-9-2.2-9-5.5S7 4 12 4ZM8 14.5c-2 1-1.5 3 .5 3s1 2.5-1.5 2.5",
  code: "M8 7l-5 5 5 5M16 7l5 5-5 5M13.5 5l-3 14",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  pause: "M8 5v14M16 5v14",
  window: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18ZM12 3v18M12 8h7.5M12 12h9M12 16h7.5",
  pan: "M12 3v18M3 12h18M9 6l3-3 3 3M9 18l3 3 3-3M6 9l-3 3 3 3M18 9l3 3-3 3",
  zoom: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14Zm9 16-4.2-4.2M8 11h6M11 8v6",
  measure: "M3 16 16 3l5 5L8 21ZM7 12l2 2M10 9l3 3M13 6l2 2",
  across: "M12 3v18M9 7l-6 10h6ZM15 7l6 10h-6Z",
  down: "M3 12h18M7 9l10-6v6ZM7 15l10 6v-6Z",
  invert: "M12 3a9 9 0 1 0 0 18ZM12 3a9 9 0 0 1 0 18",
  fit: "M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5",
} as const;

export type IconName = keyof typeof PATHS;

/** A drawing beside words, never instead of them: it is hidden from those who listen. */
export function Icon({ name, size = 18 }: { name: IconName; size?: number }) {
  return (
    <svg
      className="icon"
      width={size}
      height={size}
      viewBox="0 0 24 24"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.7"
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
    >
      <path d={PATHS[name]} />
    </svg>
  );
}
