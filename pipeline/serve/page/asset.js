// The place of an asset: it plays, its timeline, its words, what is similar, what is stored of it.

import { hasTerms, searchAddress } from "./address.js";
import { get, post } from "./api.js";
import { requestOf } from "./asking.js";
import { makeCard, setCurrent } from "./card.js";
import { labelOf, pointTerm } from "./chips.js";
import { element, fill, icon, tell } from "./elements.js";
import { bytes, clock, date, kindName, length, nameOf, shown, span, staleReason } from "./phrases.js";
import { mediaOf, openPlayer } from "./player.js";
import { loading, problemState } from "./states.js";
import { makeTimeline } from "./timeline.js";

const PAGE = 1000;
const MOST_PAGES = 20;
const SIMILAR = 12;

/** As `showSearch`. */
export function showAsset(home, { assetId, atMs, search }, { collection, go }) {
  const stopped = new AbortController();
  const address = `/v1/assets/${encodeURIComponent(assetId)}`;
  fill(home, loading("Loading …"));
  begin();
  return { stop: () => stopped.abort() };

  async function begin() {
    try {
      const [known, asset] = await Promise.all([collection(), get(address, stopped.signal)]);
      if (!stopped.signal.aborted) show(known.about, asset);
    } catch (error) {
      if (error.name !== "AbortError") fill(home, problemState(error, again));
    }
  }

  function again() {
    fill(home, loading("Loading …"));
    begin();
  }

  function show(about, asset) {
    const timed = asset.duration_ms > 0;
    const moment = { ...asset, start_ms: atMs, end_ms: timed ? asset.duration_ms : 0 };
    const media = mediaOf(moment);
    const player = media.matches("video, audio") ? media : media.querySelector("video, audio");
    const words = element("div", { class: "words" });
    const similar = element("div", { class: "similar-place" });
    const raw = element("div", { class: "raws" });
    const timeline = timed ? makeTimeline({ vectors: about.vectors, durationMs: asset.duration_ms, onSeek: seek }) : null;
    const { folder, name } = nameOf(shown(asset.key));
    fill(
      home,
      element(
        "article", { class: "asset", "aria-labelledby": "asset-name" },
        hasTerms(search) ? element("a", { class: "back", href: searchAddress(search) }, icon("previous"), `Back to ${asked()}`) : null,
        element(
          "div", { class: "asset-top" },
          element("div", { class: "stage" }, media),
          element(
            "div", { class: "facts" },
            element("h1", { id: "asset-name" }, element("bdi", { text: name })),
            folder ? element("p", { class: "where", text: folder }) : null,
            asset.stale ? element("p", { class: "remedy", text: staleReason(asset.stale) }) : null,
            factsOf(asset),
            element(
              "div", { class: "act-row" },
              element("button", { type: "button", onclick: () => like(1) }, icon("plus"), "More like this"),
              element("button", { type: "button", onclick: () => like(-1), disabled: !hasTerms(search) }, icon("minus"), "Less like this"),
              asset.media_url ? element("a", { class: "button", href: asset.media_url, download: name, text: "Download" }) : null,
            ),
          ),
        ),
        timeline ? section("Timeline", legend(), timeline.node) : null,
        words, similar, raw,
      ),
    );
    let now = atMs;
    timeline?.playAt(now);
    player?.addEventListener("timeupdate", () => {
      now = player.currentTime * 1000;
      timeline?.playAt(now);
      mark();
    });
    document.title = `${name} · sensedex`;
    tell(`${kindName(asset.media_type)} ${name}`);
    segments();
    resemble();

    function like(weight) {
      go({ ...search, terms: [...search.terms, pointTerm({ ...asset, best_ms: Math.round(now) }, weight)] });
    }

    function seek(ms) {
      now = ms;
      if (player) player.currentTime = ms / 1000;
      timeline.playAt(ms);
      mark();
    }

    function legend() {
      const text = hasTerms(search) ? `The fuller the colour, the nearer to ${asked()} within this file.` : "Search first, and it is coloured by how near each window comes.";
      return element("p", { class: "small", text: `${text} Press it, or use the arrow keys, to go there.` });
    }

    async function segments() {
      const scored = hasTerms(search) && search.terms.every(({ value }) => value);
      const all = [];
      try {
        let cursor = "";
        for (let page = 0; page < MOST_PAGES; page += 1) {
          const query = new URLSearchParams({ limit: PAGE, ...(cursor ? { cursor } : {}) });
          const found = await windows(`${address}/segments?${query}`, scored, about);
          all.push(...found.segments);
          timeline?.add(found.segments);
          cursor = found.cursor;
          if (!cursor) break;
        }
        timeline?.playAt(now);
        fill(words, wordsOf(all, timed ? seek : null));
        fill(raw, rawOf(asset, all));
        mark();
      } catch (error) {
        if (error.name !== "AbortError") fill(words, problemState(error, segments));
      }
    }

    /** Which of the words are said now. */
    function mark() {
      const here = timeline?.at(now);
      for (const one of words.querySelectorAll("[data-start]")) {
        one.classList.toggle("now", Number(one.dataset.start) <= now && now < Number(one.dataset.end));
      }
      const shownNow = raw.querySelector(".of-window");
      if (here && shownNow?.dataset.point !== here.point_id) showWindow(raw, here);
    }

    async function resemble() {
      const ms = Math.round(now);
      const senses = new Map(about.vectors.map(({ name: one, modality }) => [one, modality]));
      fill(similar, section("Similar", loading("Looking …")));
      try {
        const found = await get(`${address}/similar?limit=${SIMILAR}&at_ms=${ms}`, stopped.signal);
        const { moments } = found;
        const open = (one, link) => openPlayer({
          moments, index: moments.indexOf(one), search, senses,
          on: { moved: () => {}, closed: () => link.focus(), like: (other, weight) => go({ ...search, terms: [...search.terms, pointTerm(other, weight)] }) },
        });
        const cards = moments.map((one, place) => makeCard(one, {
          place, search, senses,
          on: { open, like: (other, weight) => go({ ...search, terms: [...search.terms, pointTerm(other, weight)] }) },
        }));
        for (const card of cards) setCurrent(card, true);
        const of = timed ? element("p", { class: "small" }, `To what is at ${clock(ms)}. `, element("button", { type: "button", class: "plain", text: "To where it is now", onclick: resemble })) : null;
        fill(similar, section("Similar", of, cards.length ? element("div", { class: "moments few", role: "list" }, ...cards) : element("p", { class: "small", text: "Nothing comes near it." })));
      } catch (error) {
        if (error.name !== "AbortError") fill(similar, section("Similar", problemState(error, resemble)));
      }
    }
  }

  async function windows(where, scored, about) {
    if (!scored) return get(where, stopped.signal);
    const { terms, using } = requestOf(search, about);
    try {
      return await post(where, { terms, using }, stopped.signal);
    } catch (error) {
      // Its upload is forgotten, say: the windows are there without their colours.
      if (error.name === "AbortError" || error.status >= 500) throw error;
      return get(where, stopped.signal);
    }
  }

  function asked() {
    const terms = [search.words && shown(search.words), ...search.terms.map((one) => `${one.weight < 0 ? "− " : "+ "}${labelOf(one)}`)];
    return `“${terms.filter(Boolean).join(" ").replace(/^\+ /, "")}”`;
  }
}

function section(title, ...inside) {
  return element("section", { class: "part" }, element("h2", { text: title }), ...inside);
}

function factsOf(asset) {
  const { width, height, video_codec: picture, audio_codec: sound } = asset.payload;
  const rows = [
    ["Type", [kindName(asset.media_type), asset.mime].join(", ")],
    ["Length", length(asset.duration_ms)],
    ["Picture", width ? `${width} × ${height}${picture ? `, ${picture}` : ""}` : ""],
    ["Sound", sound],
    ["Size", bytes(asset.size_bytes)],
    ["Written", date(asset.last_modified)],
    ["Windows", asset.segments.toLocaleString("en")],
    ["Status", asset.status],
    ["Address", shown(asset.uri)],
  ];
  const shownRows = rows.filter(([, value]) => value);
  return element("dl", {}, ...shownRows.flatMap(([name, value]) => [element("dt", { text: name }), element("dd", { text: value })]));
}

/** What sidecars say, each once, at its time; and the tags. */
function wordsOf(segments, seek) {
  const said = [];
  for (const one of segments.filter(({ text }) => text)) {
    const last = said.at(-1);
    if (last?.text === one.text) last.end_ms = one.end_ms;
    else said.push({ text: one.text, start_ms: one.start_ms, end_ms: one.end_ms });
  }
  const tags = [...new Set(segments.flatMap((one) => one.tags))];
  const lines = said.map(({ text, start_ms: start, end_ms: end }) => element(
    "li", { "data-start": start, "data-end": end },
    seek ? element("button", { type: "button", class: "plain", text: span(start, end), "aria-label": `Go to ${clock(start)}`, onclick: () => seek(start) }) : null,
    element("span", { text: shown(text) }),
  ));
  return element(
    "div", {},
    lines.length ? section("Words beside it", element("ol", { class: "lines" }, ...lines)) : null,
    tags.length ? section("Tags", element("ul", { class: "tags" }, ...tags.map((tag) => element("li", { text: shown(tag) })))) : null,
  );
}

function rawOf(asset, segments) {
  const made = section("Stored", raw("Of the asset", asset.payload));
  const first = element("div", { class: "of-window" });
  made.append(first);
  if (segments.length) showWindow(made, segments[0]);
  return made;
}

function showWindow(home, one) {
  const place = home.querySelector(".of-window");
  const open = place.querySelector("details")?.open ?? false;
  place.dataset.point = one.point_id;
  const time = span(one.start_ms, one.end_ms);
  fill(place, raw(time ? `Of the window ${time}` : "Of the picture", one.payload));
  place.querySelector("details").open = open;
}

function raw(name, payload) {
  const text = shown(JSON.stringify(payload, null, 2).replaceAll("\n", "\u2028")).replaceAll("\\u2028", "\n");
  return element("details", {}, element("summary", { text: name }), element("pre", { tabindex: "0", text, "aria-label": name }));
}
