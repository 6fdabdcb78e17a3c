// Cards in rows, in stretches of which a browser draws only those near what is seen: among ten thousand
// cards in one grid each card that comes into sight would lay out all.

import { element } from "./elements.js";

const LEAST_PX = 252;
const NARROW_PX = 700; // below it two stand side by side
const LARGE_FROM = 900; // from there the first is as large as four
const STRETCH_ROWS = 10;
const WORDS_PX = 84;

/** `node` is a list; `add(cards)` at its end. `cards` are all of them, in their order. */
export function makeRows(facts) {
  const cards = [];
  const node = element("div", { role: "list", ...facts });
  let columns = 0;
  let stretch = null;
  let room = 0;
  new ResizeObserver(fit).observe(node);

  function add(more) {
    cards.push(...more);
    if (columns) place(more);
    else fit();
  }

  /** Where another number of cards fits into a row, all are put anew. */
  function fit() {
    const width = node.clientWidth;
    if (!width) return;
    const now = width < NARROW_PX ? 2 : Math.max(2, Math.floor(width / LEAST_PX));
    if (now === columns) return;
    columns = now;
    const focused = node.contains(document.activeElement) ? document.activeElement : null;
    node.replaceChildren();
    stretch = null;
    node.style.setProperty("--columns", String(columns));
    const rowPx = (width / columns) * 0.75 + WORDS_PX;
    node.style.setProperty("--stretch", `${Math.round(STRETCH_ROWS * rowPx)}px`);
    place(cards);
    focused?.focus({ preventScroll: true });
  }

  function place(some) {
    let from = 0;
    while (from < some.length) {
      if (!stretch || room === 0) begin();
      const these = some.slice(from, from + room);
      stretch.append(...these);
      room -= these.length;
      from += these.length;
    }
  }

  function begin() {
    const large = !stretch && innerWidth >= LARGE_FROM && columns > 2;
    stretch = element("div", { class: large ? "moments stretch with-large" : "moments stretch", role: "presentation" });
    room = STRETCH_ROWS * columns - (large ? 3 : 0);
    node.append(stretch);
  }

  return { node, cards, add };
}
