// A moment among others: its picture, name, time and score; under a resting pointer it plays.

import { assetAddress } from "./address.js";
import { element, icon, signButton } from "./elements.js";
import { kindName, nameOf, score, senseName, shown, span, staleReason } from "./phrases.js";

const REST_MS = 180;
const FIRST_PX = 960; // the first of a list is shown larger
const still = matchMedia("(prefers-reduced-motion: reduce)");

/**
 * `on`: `open(moment, link)` to play it, `like(moment, weight)` for more or less like it. `senses`:
 * modality by vector.
 */
export function makeCard(moment, { place, search, senses, on }) {
  const frame = element("div", { class: "frame" }, pictureOf(moment, place), ...badges(moment));
  const { folder, name } = nameOf(shown(moment.key));
  const said = score(moment);
  const modality = senses.get(said.vector) ?? said.vector;
  const link = element(
    "a",
    {
      class: "shot", href: assetAddress(moment.asset_id, moment.start_ms, search), tabindex: "-1",
      onclick: (event) => {
        if (event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
        event.preventDefault();
        on.open(moment, link);
      },
    },
    frame,
    element("span", { class: "name", title: shown(moment.key) }, element("bdi", { text: name })),
    element(
      "span", { class: "scored", title: said.detail },
      element("span", { class: `sense ${modality}`, text: senseName(modality) }),
      element("span", { class: "strength", text: said.words }),
      said.number ? element("span", { class: "number", text: said.number }) : null,
      moment.copies ? element("span", { class: "copies", text: `+ ${moment.copies} alike` }) : null,
    ),
    folder ? element("span", { class: "hidden-words", text: `in ${folder}` }) : null,
  );
  const acts = element(
    "div", { class: "acts" },
    signButton("plus", `More like ${name}`, () => on.like(moment, 1), { tabindex: "-1" }),
    signButton("minus", `Less like ${name}`, () => on.like(moment, -1), { tabindex: "-1" }),
  );
  if (moment.media_type === "video" && moment.media_url) preview(frame, moment);
  return element(
    "div",
    { role: "listitem", class: `moment ${moment.media_type}${moment.stale ? " stale" : ""}`, "aria-setsize": "-1", "aria-posinset": place + 1 },
    link, acts,
  );
}

/** The card that the Tab key reaches; the arrows choose it. */
export function setCurrent(card, current) {
  for (const one of card.querySelectorAll("a, button")) one.tabIndex = current ? 0 : -1;
}

function pictureOf(moment, place) {
  if (moment.stale) {
    return element("span", { class: "no-picture" }, icon("gone"), element("span", { text: staleReason(moment.stale) }));
  }
  if (!moment.poster_url) return element("span", { class: "no-picture" }, icon("audio"));
  const image = element("img", {
    src: place ? moment.poster_url : `${moment.poster_url}&width=${FIRST_PX}`, alt: "", loading: "lazy", decoding: "async", draggable: "false",
    onerror: () => image.replaceWith(element("span", { class: "no-picture" }, icon(moment.media_type))),
  });
  return image;
}

function badges(moment) {
  const time = span(moment.start_ms, moment.end_ms);
  return [
    element("span", { class: "kind" }, icon(moment.media_type), element("span", { class: "hidden-words", text: `${kindName(moment.media_type)}, ` })),
    time ? element("span", { class: "time", text: time }) : null,
  ].filter(Boolean);
}

/** Plays without sound from the moment's first second to its last, and again. */
function preview(frame, moment) {
  let video = null;
  let waiting = 0;
  frame.addEventListener("pointerenter", (event) => {
    if (event.pointerType !== "mouse" || still.matches) return;
    waiting = setTimeout(begin, REST_MS);
  });
  frame.addEventListener("pointerleave", end);

  function begin() {
    video = element("video", { class: "preview", src: moment.media_url, playsinline: true, preload: "auto", tabindex: "-1", "aria-hidden": "true" });
    video.muted = true;
    const first = moment.start_ms / 1000;
    video.addEventListener("loadedmetadata", () => {
      video.currentTime = first;
    });
    video.addEventListener("seeked", () => {
      video?.play().catch(() => {}); // it may have been left meanwhile
    }, { once: true });
    video.addEventListener("timeupdate", () => {
      if (video && video.currentTime >= moment.end_ms / 1000) video.currentTime = first;
    });
    video.addEventListener("playing", () => frame.classList.add("plays"));
    frame.append(video); // the poster stays where this browser has no decoder for it
  }

  function end() {
    clearTimeout(waiting);
    if (!video) return;
    video.pause();
    video.removeAttribute("src");
    video.load();
    video.remove();
    video = null;
    frame.classList.remove("plays");
  }
}
