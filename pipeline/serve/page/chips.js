// Terms beside the words of the field, as chips that add or take away, and a place for one more.

import { get } from "./api.js";
import { term } from "./address.js";
import { element, icon, signButton } from "./elements.js";
import { clock, nameOf, shown } from "./phrases.js";
import { remembered } from "./uploads.js";

const KIND_NAMES = { words: "words", image: "a picture", sound: "a sound", video: "a video", point: "a moment" };
const KIND_SIGNS = { image: "image", sound: "audio", video: "video", point: "point" };
const pointNames = new Map();

/** `onTerms(terms, all)` whenever they change. */
export function makeChips(search, onTerms) {
  const chips = search.terms.map((one, index) => chip(one, index));
  const list = element("ul", { class: "chips", "aria-label": "Terms" }, ...chips);
  const adds = search.terms.filter(({ weight }) => weight > 0).length + (search.words ? 1 : 0);
  return element("div", { class: "terms" }, chips.length ? list : null, adder(), adds > 1 ? together() : null);

  function changed(terms) {
    onTerms(terms, search.all);
  }

  function chip(one, index) {
    const name = element("span", { class: "name", text: labelOf(one) });
    named(one, name);
    const minus = one.weight < 0;
    const turn = signButton(
      minus ? "minus" : "plus",
      `${minus ? "Taken away" : "Added"}: ${labelOf(one)}. ${minus ? "Add it" : "Take it away"}`,
      () => changed(search.terms.map((t) => (t === one ? { ...t, weight: -t.weight } : t))),
      { class: "turn" },
    );
    const remove = signButton("close", `Remove ${labelOf(one)}`, () => without(index), { class: "remove" });
    const made = element(
      "li",
      {
        class: minus ? "chip minus" : "chip plus",
        onkeydown: (event) => {
          if (event.key === "Delete" || event.key === "Backspace") {
            event.preventDefault();
            without(index);
          } else if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
            event.preventDefault();
            beside(event);
          }
        },
      },
      turn, pictureOf(one), name, remove,
    );
    if (one.forgotten) made.classList.add("forgotten");
    return made;
  }

  function without(index) {
    changed(search.terms.filter((_, at) => at !== index));
  }

  function beside(event) {
    const buttons = [...event.currentTarget.closest(".terms").querySelectorAll(".chip button")];
    const step = event.key === "ArrowLeft" ? -1 : 1;
    buttons[buttons.indexOf(event.target) + step]?.focus();
  }

  function adder() {
    const input = element("input", {
      id: "more-words", type: "text", autocomplete: "off", spellcheck: "false",
      placeholder: "more words", "aria-label": "More words, to be added or taken away", enterkeyhint: "done",
    });
    const add = (weight) => {
      const text = input.value.trim();
      const taken = text.startsWith("-") || text.startsWith("−");
      const words = taken ? text.slice(1).trim() : text;
      if (words) changed([...search.terms, term("words", words, taken ? -1 : weight)]);
      else input.focus();
    };
    return element(
      "form",
      {
        class: "adder",
        onsubmit: (event) => {
          event.preventDefault();
          add(1);
        },
      },
      signButton("plus", "Add these words", () => add(1), { id: "add-words" }),
      input,
      signButton("minus", "Take these words away", () => add(-1), { id: "subtract-words" }),
    );
  }

  function together() {
    const box = element("input", { type: "checkbox", onchange: () => onTerms(search.terms, box.checked) });
    box.checked = search.all;
    return element("label", { class: "together" }, box, "all of them at once");
  }
}

/** What a chip says. */
export function labelOf(one) {
  if (one.kind === "words") return shown(one.value);
  if (one.kind === "point") return pointNames.get(one.value) ?? "a moment";
  return shown(one.name ?? remembered(one.value)?.name ?? KIND_NAMES[one.kind]);
}

/** A moment as a term: more like this, or less. */
export function pointTerm(moment, weight) {
  const value = `${moment.asset_id}@${moment.best_ms}ms`;
  pointNames.set(value, pointName(moment.key, moment.best_ms, moment.media_type));
  return term("point", value, weight);
}

function pointName(key, ms, mediaType) {
  const { name } = nameOf(shown(key));
  return mediaType === "image" ? name : `${name} at ${clock(ms)}`;
}

/** The name of a moment that another tab has added is asked for. */
async function named(one, node) {
  if (one.kind !== "point" || pointNames.has(one.value)) return;
  const [assetId, at = "0"] = one.value.split(/@(?=[^@]*$)/);
  try {
    const asset = await get(`/v1/assets/${encodeURIComponent(assetId)}`);
    pointNames.set(one.value, pointName(asset.key, parseInt(at, 10) || 0, asset.media_type));
    node.textContent = labelOf(one);
  } catch {
    // It is gone: the search will say so.
  }
}

function pictureOf(one) {
  if (one.kind === "words") return null;
  const sign = icon(KIND_SIGNS[one.kind]);
  const kept = one.picture ?? remembered(one.value)?.picture;
  Promise.resolve(kept).then((address) => {
    if (address) sign.replaceWith(element("img", { src: address, alt: "" }));
  });
  return sign;
}
