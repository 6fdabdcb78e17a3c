// A sound as it looks: its loudness over time, the moment in it, and where it plays.

import { element } from "./elements.js";

const MOST_BYTES = 24e6; // decoded it is some ten times that
const BAR_PX = 4;

/**
 * Over `audio`, with the moment of `startMs` to `endMs` in full colour; pressed, it plays from
 * there. Where the sound cannot be read it stays hidden, and the player is as good without.
 */
export function makeWaveform(audio, address, { sizeBytes, startMs, endMs }) {
  const canvas = element("canvas", {
    class: "wave", hidden: true, "aria-hidden": "true",
    onpointerdown: (event) => {
      const box = canvas.getBoundingClientRect();
      audio.currentTime = ((event.clientX - box.left) / box.width) * audio.duration;
      audio.play().catch(() => {});
    },
  });
  let peaks = null;
  audio.addEventListener("timeupdate", draw);
  audio.addEventListener("seeked", draw);
  if (sizeBytes <= MOST_BYTES) read();
  return canvas;

  async function read() {
    try {
      const response = await fetch(address);
      const context = new OfflineAudioContext(1, 1, 16_000);
      const sound = await context.decodeAudioData(await response.arrayBuffer());
      peaks = { of: sound.getChannelData(0), seconds: sound.duration };
      canvas.hidden = false;
      new ResizeObserver(draw).observe(canvas);
    } catch {
      // It lies with another host, or in a form that is played and not decoded.
    }
  }

  function draw() {
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    if (!peaks || !width) return;
    const ratio = devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const style = getComputedStyle(canvas);
    const bars = Math.floor(width / BAR_PX);
    const loud = loudness(peaks.of, bars);
    const most = Math.max(...loud, 1e-4);
    for (let bar = 0; bar < bars; bar += 1) {
      const at = (bar / bars) * peaks.seconds;
      const inside = at * 1000 >= startMs && at * 1000 < endMs;
      pen.fillStyle = at < audio.currentTime ? style.getPropertyValue("--ink") : style.getPropertyValue("--audio");
      pen.globalAlpha = inside ? 1 : 0.32;
      const tall = Math.max(2, (loud[bar] / most) * height);
      pen.beginPath();
      pen.roundRect(bar * BAR_PX, (height - tall) / 2, BAR_PX - 1.5, tall, 1.2);
      pen.fill();
    }
  }
}

/** The root of the mean square of each of so many parts. */
function loudness(samples, parts) {
  const each = samples.length / parts;
  return Array.from({ length: parts }, (_, part) => {
    const stop = Math.min(samples.length, Math.ceil((part + 1) * each));
    let sum = 0;
    let seen = 0;
    for (let at = Math.floor(part * each); at < stop; at += 1 + Math.floor(each / 400)) {
      sum += samples[at] ** 2;
      seen += 1;
    }
    return Math.sqrt(sum / Math.max(1, seen));
  });
}
