// The theme that was chosen in this browser; `lib/settings.ts` keeps it there.
try {
  if (localStorage.getItem("syntopy.theme") === "light")
    document.documentElement.dataset.theme = "light";
} catch {
  // storage is switched off: it is as at first
}
