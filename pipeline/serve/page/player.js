// A moment, large: a video or a sound plays at its second, a picture is shown whole.

import { assetAddress } from "./address.js";
import { element, fill, icon, signButton } from "./elements.js";
import { bytes, date, length, nameOf, score, senseName, shareText, shown, span, staleReason } from "./phrases.js";
import { makeWaveform } from "./waveform.js";

const AGAIN = "sensedex.repeat";

/**
 * Opens at `moments[index]`. `on.moved(index)` when another is turned to, `on.like(moment, weight)`,
 * `on.closed(index)`. `moments` may grow meanwhile.
 */
export function openPlayer({ moments, index, search, senses, on }) {
  let at = index;
  const stage = element("div", { class: "stage" });
  const facts = element("div", { class: "facts" });
  const before = signButton("previous", "The moment before", () => turn(-1), { class: "turn-back" });
  const after = signButton("next", "The next moment", () => turn(1), { class: "turn-on" });
  const close = signButton("close", "Close", () => dialog.close(), { class: "close" });
  const dialog = element(
    "dialog",
    {
      class: "player", "aria-labelledby": "playing",
      onclick: (event) => {
        if (event.target === dialog) dialog.close();
      },
      onclose: () => {
        fill(stage);
        dialog.remove();
        on.closed(at);
      },
      onkeydown: (event) => {
        const own = event.target.closest("video, audio, input");
        if (own || event.altKey || event.ctrlKey || event.metaKey) return;
        if (event.key === "ArrowLeft") turn(-1);
        else if (event.key === "ArrowRight") turn(1);
        else return;
        event.preventDefault();
      },
    },
    close, before, after, stage, facts,
  );
  document.body.append(dialog);
  dialog.showModal();
  show();

  function turn(step) {
    if (!moments[at + step]) return;
    at += step;
    on.moved(at);
    show();
  }

  function show() {
    const moment = moments[at];
    fill(stage, mediaOf(moment));
    fill(facts, ...factsOf(moment));
    before.disabled = at === 0;
    after.disabled = at === moments.length - 1;
    stage.querySelector("video, audio")?.focus({ preventScroll: true });
  }

  function factsOf(moment) {
    const { folder, name } = nameOf(shown(moment.key));
    const time = span(moment.start_ms, moment.end_ms);
    const said = score(moment);
    const plays = moment.media_type !== "image" && moment.media_url;
    return [
      element("h2", { id: "playing" }, element("bdi", { text: name })),
      element("p", { class: "where" }, [folder && `${folder} `, time].filter(Boolean).join("· ")),
      element("p", { class: "said", text: said.detail }),
      whyOf(moment),
      moment.payload.text ? element("blockquote", { text: shown(moment.payload.text) }) : null,
      moment.copies ? copiesOf(moment) : null,
      element(
        "div", { class: "act-row" },
        element("a", { class: "button", href: assetAddress(moment.asset_id, moment.start_ms, search), text: "Open its page", onclick: () => dialog.close() }),
        button("More like this", "plus", () => liked(moment, 1)),
        button("Less like this", "minus", () => liked(moment, -1)),
        plays ? repeating() : null,
      ),
      element("p", { class: "small", text: [moment.payload.mime, length(moment.payload.asset_duration_ms ?? 0), bytes(moment.payload.size_bytes), date(moment.payload.last_modified)].filter(Boolean).join(" · ") }),
    ];
  }

  function liked(moment, weight) {
    dialog.close();
    on.like(moment, weight);
  }

  function whyOf(moment) {
    const rows = moment.why.map((one) => {
      const modality = senses.get(one.vector_name) ?? one.vector_name;
      const bar = element("span", { class: `meter ${modality}` }, element("span"));
      bar.firstChild.style.setProperty("--share", String(one.share ?? Math.max(0, one.cosine)));
      return element(
        "tr", {},
        element("th", { scope: "row" }, element("span", { class: `sense ${modality}`, text: senseName(modality) })),
        element("td", {}, bar),
        element("td", { class: "figure", text: one.share === null ? "" : shareText(one.share) }),
        element("td", { class: "figure faint", text: one.cosine.toFixed(2) }),
      );
    });
    if (!rows.length) return null;
    const head = element("tr", {}, ...["Sense", "", "Above", "Cosine"].map((text) => element(text ? "th" : "td", text ? { scope: "col", text } : {})));
    return element("table", { class: "why" }, element("thead", {}, head), element("tbody", {}, ...rows));
  }
}

function copiesOf(moment) {
  const more = moment.copies > moment.copy_keys.length ? ", …" : "";
  return element("p", { class: "small", text: `Alike: ${moment.copy_keys.map(shown).join(", ")}${more}` });
}

function button(text, sign, onclick) {
  return element("button", { type: "button", onclick }, icon(sign), text);
}

function repeating() {
  const on = sessionStorage.getItem(AGAIN) === "1";
  const made = element("button", {
    type: "button", "aria-pressed": String(on),
    onclick: () => {
      const now = made.getAttribute("aria-pressed") !== "true";
      made.setAttribute("aria-pressed", String(now));
      sessionStorage.setItem(AGAIN, now ? "1" : "0");
    },
  }, icon("repeat"), "Repeat the moment");
  return made;
}

/** What shows or plays it, at its second; a sentence where nothing does. */
export function mediaOf(moment) {
  if (!moment.media_url) return element("p", { class: "unplayable" }, icon("gone"), staleReason(moment.stale));
  const name = shown(moment.key);
  const failed = () => media.replaceWith(unplayable(moment));
  const media = moment.media_type === "image"
    ? element("img", { src: moment.media_url, alt: name, onerror: failed })
    : element(moment.media_type, { src: moment.media_url, controls: true, preload: "auto", playsinline: true, "aria-label": name, tabindex: "0", onerror: failed });
  if (moment.media_type === "image") return media;
  const first = moment.start_ms / 1000;
  media.addEventListener("loadedmetadata", () => {
    media.currentTime = first;
  }, { once: true });
  media.addEventListener("seeked", () => {
    // Without a person's touch before, a browser plays nothing that can be heard.
    media.play().catch(() => {});
  }, { once: true });
  media.addEventListener("timeupdate", () => {
    const past = media.currentTime * 1000 >= moment.end_ms;
    if (past && !media.paused && sessionStorage.getItem(AGAIN) === "1") media.currentTime = first;
  });
  if (moment.media_type === "video") {
    if (moment.poster_url) media.poster = moment.poster_url;
    return media;
  }
  const wave = makeWaveform(media, moment.media_url, {
    sizeBytes: moment.payload.size_bytes, startMs: moment.start_ms, endMs: moment.end_ms,
  });
  return element("div", { class: "sounding" }, icon("audio"), wave, media);
}

function unplayable(moment) {
  return element(
    "p", { class: "unplayable" }, icon("gone"),
    `This browser cannot play it (${moment.payload.mime}), or it has just changed. `,
    element("a", { href: moment.media_url, download: nameOf(shown(moment.key)).name, text: "Download it" }),
  );
}
