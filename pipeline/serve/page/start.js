// With nothing asked: what the collection has, and some of it to look at.

import { assetAddress } from "./address.js";
import { get } from "./api.js";
import { element, fill } from "./elements.js";
import { count, nameOf, shown } from "./phrases.js";

const SHOWN = 12;
const EACH = { image: 7, video: 5 };

export function makeStart({ about, facets }, signal) {
  const wall = element("ul", { class: "wall", "aria-label": "Some of the collection" });
  const node = element(
    "section", { class: "start" },
    element("h1", { text: "Find the moment" }),
    element("p", { class: "lead", text: "Say it in words, or drop a picture or a sound anywhere here. What answers plays at its second." }),
    about.segments
      ? element("p", { class: "small", text: `${count(about.segments, "window")} in ${about.collection}: ${kinds(facets)}. Encoded by ${about.encoder}.` })
      : element("p", { class: "remedy", text: "The collection is empty. sensedex run fills it." }),
    wall,
    element("p", { class: "keys small" }, ...keys()),
  );
  if (about.segments) hang(wall, signal);
  return node;
}

function kinds(facets) {
  const values = facets.facets.find(({ field }) => field === "media_type")?.values ?? [];
  const names = { image: "pictures", audio: "of sounds", video: "of videos" };
  return values.map(({ value, count: number }) => `${number.toLocaleString("en")} ${names[value] ?? value}`).join(", ");
}

function keys() {
  const all = [["/", "the field"], ["arrows", "through the moments"], ["Enter", "plays"], ["+ −", "more or less like it"], ["Esc", "closes"]];
  return all.map(([key, what]) => element("span", {}, element("kbd", { text: key }), ` ${what}`));
}

/** Assets with the most windows; the page is as good without them. */
async function hang(wall, signal) {
  try {
    const lists = await Promise.all(Object.entries(EACH).map(async ([type, most]) => {
      const found = await get(`/v1/facets?field=asset_id&limit=${most}&where=${encodeURIComponent(`type=${type}`)}`, signal);
      return found.facets[0]?.values.map(({ value }) => value) ?? [];
    }));
    const ids = mixed(...lists).slice(0, SHOWN);
    const assets = await Promise.allSettled(ids.map((id) => get(`/v1/assets/${encodeURIComponent(id)}`, signal)));
    const there = assets.filter(({ value }) => value?.poster_url).map(({ value }) => value);
    fill(wall, ...there.map(picture));
  } catch {
    // A collection of before has no counts of assets.
  }
}

function picture(asset) {
  const { name } = nameOf(shown(asset.key));
  const middle = asset.media_type === "video" ? `&at_ms=${Math.round(asset.duration_ms / 3)}` : "";
  const address = middle ? asset.poster_url.replace(/at_ms=\d+/, middle.slice(1)) : asset.poster_url;
  const image = element("img", { src: address, alt: name, loading: "lazy", decoding: "async" });
  image.addEventListener("error", () => image.closest("li").remove());
  return element("li", {}, element("a", { href: assetAddress(asset.asset_id) }, image));
}

function mixed(...lists) {
  const longest = Math.max(...lists.map((list) => list.length));
  return Array.from({ length: longest }, (_, at) => lists.map((list) => list[at])).flat().filter(Boolean);
}
