/** The results that can be gone to, in the order of the page. */
const all = (): HTMLElement[] => [...document.querySelectorAll<HTMLElement>("[data-hit]")];

/** The result that has the focus, or whose card has. */
export function focused(): string | undefined {
  const within = document.activeElement?.closest(".hit");
  return within?.querySelector<HTMLElement>("[data-hit]")?.dataset.hit;
}

const card = (id: string) => all().find((each) => each.dataset.hit === id);

export function focusHit(id: string): void {
  card(id)?.focus();
  revealHit(id);
}

export function revealHit(id: string): void {
  card(id)?.scrollIntoView({ block: "nearest" });
}

/** To the next or the one before; to the first where none has the focus. */
export function step(by: number, from: string | undefined): string | undefined {
  const cards = all();
  const at = cards.findIndex((each) => each.dataset.hit === from);
  const next = at < 0 ? cards[0] : cards[Math.min(cards.length - 1, Math.max(0, at + by))];
  return next?.dataset.hit;
}

/** To the nearest one in a direction on the screen. */
export function towards(dx: number, dy: number, from: string | undefined): string | undefined {
  const cards = all();
  const here = cards.find((each) => each.dataset.hit === from)?.getBoundingClientRect();
  if (!here) return cards[0]?.dataset.hit;
  let best: { id: string | undefined; far: number } = { id: from, far: Number.POSITIVE_INFINITY };
  for (const card of cards) {
    const box = card.getBoundingClientRect();
    const [x, y] = [box.x + box.width / 2 - here.x - here.width / 2, box.y - here.y];
    const along = x * dx + y * dy;
    const aside = Math.abs(x * dy) + Math.abs(y * dx);
    if (along > 4 && along + 3 * aside < best.far)
      best = { id: card.dataset.hit, far: along + 3 * aside };
  }
  return best.id;
}
