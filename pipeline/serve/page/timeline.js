// The windows of an asset in the order of time, a row for each sense, coloured by how they score.

import { element } from "./elements.js";
import { clock, senseName, span } from "./phrases.js";

const ROW_PX = 26;
const GAP_PX = 4;
const STEP_KEYS = { ArrowRight: 1, ArrowLeft: -1, ArrowUp: 1, ArrowDown: -1, PageUp: 10, PageDown: -10 };
const HAS = { vision: "has_vision", audio: "has_audio", text: "has_text" };

/**
 * `vectors`: `{name, modality}` of the collection. `onSeek(ms)` where it is pressed. `add(segments)`
 * as they come; `playAt(ms)` moves the mark; `at(ms)` is the window there.
 */
export function makeTimeline({ vectors, durationMs, onSeek }) {
  const segments = [];
  const canvas = element("canvas", { "aria-hidden": "true" });
  const mark = element("div", { class: "mark-now" });
  const slider = element(
    "div",
    {
      class: "strip", role: "slider", tabindex: "0", "aria-label": "Time in the media", "aria-valuemin": "0",
      "aria-valuemax": String(durationMs), "aria-valuenow": "0", "aria-valuetext": clock(0),
      onkeydown: keyed,
      onpointerdown: (event) => {
        slider.setPointerCapture(event.pointerId);
        seekTo(event);
      },
      onpointermove: (event) => (slider.hasPointerCapture(event.pointerId) ? seekTo(event) : hint(event)),
      onpointerleave: () => {
        tip.hidden = true;
      },
    },
    canvas, mark,
  );
  const tip = element("output", { class: "tip", hidden: true, "aria-hidden": "true" });
  const names = element("ul", { class: "row-names" });
  const ends = element("p", { class: "ends", "aria-hidden": "true" }, element("span", { text: clock(0) }), element("span", { text: clock(durationMs) }));
  const node = element("div", { class: "timeline" }, names, element("div", { class: "strip-box" }, slider, tip, ends));
  let now = 0;
  let rows = [];
  new ResizeObserver(draw).observe(slider);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

  function add(more) {
    segments.push(...more);
    rows = vectors
      .filter(({ name, modality }) => segments.some((one) => one[HAS[modality]] ?? one.scores?.[name] !== undefined))
      .map(({ name, modality }) => ({ name, modality, ...bounds(name) }));
    names.replaceChildren(...rows.map(({ modality }) => element("li", {}, element("span", { class: `sense ${modality}`, text: senseName(modality) }))));
    draw();
  }

  function bounds(name) {
    const found = segments.map(({ scores }) => scores?.[name]).filter((score) => score !== undefined);
    return { low: Math.min(...found), high: Math.max(...found), scored: found.length > 0 };
  }

  function draw() {
    const width = slider.clientWidth;
    const height = Math.max(1, rows.length) * (ROW_PX + GAP_PX) - GAP_PX;
    if (!width) return;
    const ratio = devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    slider.style.setProperty("--rows", `${height}px`);
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const style = getComputedStyle(slider);
    rows.forEach((row, index) => {
      pen.fillStyle = style.getPropertyValue(`--${row.modality}`) || style.color;
      const top = index * (ROW_PX + GAP_PX);
      for (const one of segments) {
        if (one[HAS[row.modality]] === false) continue;
        const left = (width * one.start_ms) / durationMs;
        const right = (width * Math.min(one.end_ms, durationMs)) / durationMs;
        pen.globalAlpha = strength(row, one);
        const wide = Math.max(1, right - left - (right - left > 6 ? 1.5 : 0));
        pen.fillRect(left, top, wide, ROW_PX);
      }
    });
    move();
  }

  /** Of a search: from its least to its best window. Without one all are alike. */
  function strength({ name, low, high, scored }, { scores }) {
    if (!scored) return 0.45;
    const score = scores?.[name];
    if (score === undefined) return 0.06;
    return high > low ? 0.12 + 0.88 * ((score - low) / (high - low)) ** 1.5 : 0.7;
  }

  function move() {
    mark.style.setProperty("--at", String(durationMs ? Math.min(1, now / durationMs) : 0));
    const here = at(now);
    slider.setAttribute("aria-valuenow", String(Math.round(now)));
    slider.setAttribute("aria-valuetext", here ? told(here) : clock(now));
  }

  function told(one) {
    const scored = rows.filter(({ name }) => one.scores?.[name] !== undefined).map(({ name, modality }) => `${senseName(modality)} ${one.scores[name].toFixed(2)}`);
    return [span(one.start_ms, one.end_ms), ...scored].join(", ");
  }

  function at(ms) {
    return segments.findLast(({ start_ms: start }) => start <= ms) ?? null;
  }

  function timeOf(event) {
    const box = slider.getBoundingClientRect();
    return Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)) * durationMs;
  }

  function seekTo(event) {
    onSeek(timeOf(event));
    hint(event);
  }

  function hint(event) {
    const one = at(timeOf(event));
    tip.hidden = !one;
    if (!one) return;
    tip.textContent = told(one);
    tip.style.setProperty("--at", String(timeOf(event) / durationMs));
  }

  function keyed(event) {
    if (event.key === "Home" || event.key === "End") {
      event.preventDefault();
      onSeek(event.key === "Home" ? 0 : (segments.at(-1)?.start_ms ?? 0));
    }
    const step = STEP_KEYS[event.key];
    if (!step || !segments.length) return;
    event.preventDefault();
    const here = segments.indexOf(at(now));
    onSeek(segments[Math.max(0, Math.min(segments.length - 1, here + step))].start_ms);
  }

  return {
    node, add, at,
    playAt(ms) {
      now = ms;
      move();
    },
  };
}
