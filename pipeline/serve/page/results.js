// The moments of a search as they are scrolled through: pages by cursor, arrows, the player.

import { makeCard, setCurrent } from "./card.js";
import { element, fill, tell } from "./elements.js";
import { count } from "./phrases.js";
import { openPlayer } from "./player.js";
import { makeRows } from "./rows.js";
import { problemState, skeletons } from "./states.js";

const AHEAD_PX = 1500;

/**
 * In `home`, which is in the page: rows are made by its width. `found`: the first page.
 * `more(cursor)` gives the next; `on.like(moment, weight)`. Returns `moments`, the list of all that
 * are there, `restore(number)`, which gets so many, and `stop()`.
 */
export function showResults(home, found, { search, senses, more, on }) {
  const moments = [];
  const { node: list, cards, add: append } = makeRows({ "aria-label": "Moments", onkeydown: keyed, onfocusin: focused });
  const foot = element("div", { class: "foot" });
  const node = element("section", { class: "results", "aria-label": "Results" }, list, foot);
  let current = 0;
  let cursor = found.cursor;
  let busy = null;
  let drawn = false;
  const seen = new IntersectionObserver((entries) => {
    drawn = entries.some(({ isIntersecting }) => isIntersecting);
    if (drawn) next();
  }, { rootMargin: `${AHEAD_PX}px` });

  fill(home, node);
  add(found.moments);
  seen.observe(foot);
  ended();

  function add(found) {
    const more = found.map((moment, offset) => makeCard(moment, {
      place: moments.length + offset, search, senses,
      on: { open: (_, link) => play(placeOf(link)), like: on.like },
    }));
    moments.push(...found);
    append(more);
    if (cards.length && cards.length === more.length) setCurrent(cards[0], true);
  }

  function next() {
    if (!cursor || busy) return busy;
    fill(foot, skeletons(4));
    busy = more(cursor).then(
      (page) => {
        busy = null;
        cursor = page.cursor;
        add(page.moments);
        ended();
        tell(`${count(moments.length, "moment")}`);
        if (drawn) requestAnimationFrame(again);
      },
      (error) => {
        busy = null;
        if (error.name !== "AbortError") fill(foot, problemState(error, next));
      },
    );
    return busy;
  }

  /** The foot may be in sight still, and an observer speaks of changes alone. */
  function again() {
    seen.unobserve(foot);
    seen.observe(foot);
  }

  function ended() {
    if (cursor) fill(foot);
    else fill(foot, element("p", { class: "end", text: `That is all of it: ${count(moments.length, "moment")}.` }));
  }

  function placeOf(link) {
    return cards.indexOf(link.closest(".moment"));
  }

  function setPlace(place, { focus = false } = {}) {
    if (!cards[place]) return;
    if (place !== current) setCurrent(cards[current], false);
    current = place;
    setCurrent(cards[place], true);
    if (focus) cards[place].querySelector("a").focus();
  }

  function focused(event) {
    const card = event.target.closest(".moment");
    if (card && card !== cards[current]) setPlace(placeOf(event.target));
  }

  function play(place) {
    setPlace(place);
    openPlayer({
      moments, index: place, search, senses,
      on: {
        moved: (at) => {
          if (at > moments.length - 6) next();
        },
        like: on.like,
        closed: (at) => setPlace(at, { focus: true }),
      },
    });
  }

  function keyed(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const onLink = event.target.matches("a");
    const to = step(event.key);
    if (to !== null) {
      event.preventDefault();
      if (to < 0) document.getElementById("words").focus();
      else setPlace(Math.min(to, moments.length - 1), { focus: true });
      if (to > moments.length - 12) next();
    } else if (onLink && event.key === "+") on.like(moments[current], 1);
    else if (onLink && event.key === "-") on.like(moments[current], -1);
    else if (onLink && event.key === " ") {
      event.preventDefault();
      play(current);
    }
  }

  /** Where a key leads, below 0 for the field; null for another key. */
  function step(key) {
    if (key === "ArrowRight") return current + 1;
    if (key === "ArrowLeft") return Math.max(0, current - 1);
    if (key === "Home") return 0;
    if (key === "End") return moments.length - 1;
    if (key === "ArrowDown") return beside(1);
    if (key === "ArrowUp") return beside(-1);
    return null;
  }

  /** The nearest card in the row below or above. */
  function beside(direction) {
    const here = cards[current].getBoundingClientRect();
    let best = null;
    for (let at = current + direction; cards[at]; at += direction) {
      const there = cards[at].getBoundingClientRect();
      const apart = direction * (there.top - here.top);
      if (apart < 4 || (direction > 0 && there.top < here.bottom - 4)) continue;
      if (best && Math.abs(there.top - best.top) > 4) break;
      const side = Math.abs(there.left + there.width / 2 - here.left - here.width / 2);
      if (!best || side < best.side) best = { at, side, top: there.top };
    }
    if (best) return best.at;
    return direction < 0 ? -1 : moments.length - 1;
  }

  async function restore(number) {
    while (moments.length < number && cursor) {
      const before = moments.length;
      await next();
      if (moments.length === before) break;
    }
  }

  return { moments, restore, stop: () => seen.disconnect() };
}
