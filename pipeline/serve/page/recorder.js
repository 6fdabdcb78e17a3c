// A sound from the microphone, as a file.

import { clock } from "./phrases.js";

const MOST_S = 15;
const FORMS = ["audio/webm;codecs=opus", "audio/ogg;codecs=opus", "audio/mp4"];

export function canRecord() {
  return Boolean(window.MediaRecorder && navigator.mediaDevices?.getUserMedia);
}

/**
 * Listens until `stop()` is called or 15 s are over. `onTime(text)` is told the time once a second,
 * `onEnd(file)` the sound, or null where nothing was heard. Raises what the browser raises where the
 * microphone is refused.
 */
export async function record(onTime, onEnd) {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  const form = FORMS.find((one) => MediaRecorder.isTypeSupported(one)) ?? "";
  const recorder = new MediaRecorder(stream, form ? { mimeType: form } : {});
  const parts = [];
  const began = performance.now();
  const told = setInterval(() => {
    const ms = performance.now() - began;
    onTime(clock(ms));
    if (ms >= 1000 * MOST_S) stop();
  }, 250);

  function stop() {
    if (recorder.state !== "inactive") recorder.stop();
  }

  recorder.addEventListener("dataavailable", ({ data }) => {
    if (data.size) parts.push(data);
  });
  recorder.addEventListener("stop", () => {
    clearInterval(told);
    for (const track of stream.getTracks()) track.stop();
    const type = recorder.mimeType || "audio/webm";
    const name = `recording ${new Date().toLocaleTimeString(undefined, { timeStyle: "short" })}`;
    onEnd(parts.length ? new File(parts, name, { type }) : null);
  });
  recorder.start();
  onTime(clock(0));
  return stop;
}

/** Why there is no sound, for a person. */
export function refusal(error) {
  if (error.name === "NotAllowedError") return "This page may not use the microphone. Allow it in the browser's site settings.";
  if (error.name === "NotFoundError") return "There is no microphone here.";
  return "The microphone could not be started.";
}
