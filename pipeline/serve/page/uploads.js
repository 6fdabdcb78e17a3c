// Pictures and sounds as terms: of which kind a file is, what is remembered of those that were sent.

import { term } from "./address.js";

const STORED = "sensedex.upload.";
const SIDE_PX = 96;
const ENDINGS = {
  image: /\.(jpe?g|png|webp|gif|bmp|tiff?|avif|heic)$/i,
  sound: /\.(mp3|wav|flac|ogg|opus|m4a|aac|weba)$/i,
  video: /\.(mp4|m4v|mov|mkv|webm|avi|mpe?g)$/i,
};
const sent = new Map();

export function isUpload(kind) {
  return kind === "image" || kind === "sound" || kind === "video";
}

/** `image`, `sound` or `video`; null for a file that is none of them by its type and its name. */
export function kindOf(file) {
  const [type] = file.type.split("/");
  const kind = { image: "image", audio: "sound", video: "video" }[type];
  return kind ?? Object.keys(ENDINGS).find((one) => ENDINGS[one].test(file.name)) ?? null;
}

/** A term that will be sent with its file. `name` is for the chip alone. */
export function fileTerm(file, name = file.name) {
  const made = term(kindOf(file), "");
  made.file = file;
  made.name = name || { image: "a picture", sound: "a sound", video: "a video" }[made.kind];
  made.picture = smallPicture(file);
  return made;
}

/** Of a term whose value the server has named: so that the chip is known after a reload, too. */
export async function remember(one) {
  const kept = { name: one.name, file: one.file, picture: one.picture };
  sent.set(one.value, kept);
  const picture = await one.picture;
  try {
    sessionStorage.setItem(STORED + one.value, JSON.stringify({ name: one.name, picture }));
  } catch {
    // The store is full: the chip says "a picture" after a reload.
  }
}

/** `{name, picture, file}` of an upload; after a reload without its file; null where unknown. */
export function remembered(value) {
  if (sent.has(value)) return sent.get(value);
  try {
    return JSON.parse(sessionStorage.getItem(STORED + value));
  } catch {
    return null;
  }
}

/** A picture small enough to be kept, as a data: address; null where there is none. */
async function smallPicture(file) {
  if (kindOf(file) !== "image") return null;
  try {
    const whole = await createImageBitmap(file);
    const scale = Math.min(1, SIDE_PX / Math.min(whole.width, whole.height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.round(whole.width * scale));
    canvas.height = Math.max(1, Math.round(whole.height * scale));
    canvas.getContext("2d").drawImage(whole, 0, 0, canvas.width, canvas.height);
    whole.close();
    return canvas.toDataURL("image/webp", 0.7);
  } catch {
    return null; // the server may know a form that this browser does not
  }
}

/** Files that are dropped anywhere on the page or pasted: `onFiles(files)`. */
export function watchFiles(onFiles) {
  const root = document.documentElement;
  let inside = 0;
  const carries = (event) => event.dataTransfer?.types.includes("Files");
  const shade = (on) => root.classList.toggle("dropping", on);
  document.addEventListener("dragenter", (event) => {
    if (!carries(event)) return;
    inside += 1;
    shade(true);
  });
  document.addEventListener("dragleave", (event) => {
    if (!carries(event)) return;
    inside = Math.max(0, inside - 1);
    shade(inside > 0);
  });
  document.addEventListener("dragover", (event) => {
    if (carries(event)) event.preventDefault();
  });
  document.addEventListener("drop", (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    inside = 0;
    shade(false);
    onFiles([...event.dataTransfer.files]);
  });
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length) return;
    event.preventDefault();
    onFiles(files);
  });
}
