// Numbers as a person says them: times, sizes, dates, scores.

const MODALITIES = { vision: "seen", audio: "heard", text: "read", words: "named" };
const KINDS = { image: "Picture", audio: "Sound", video: "Video" };
const STALE = {
  object_gone: "It has left the bucket since it was indexed.",
  object_changed: "It has changed in the bucket since it was indexed.",
  denied: "The bucket does not let the server read it.",
  archived: "It is archived, and cannot be played before it is restored.",
  credentials: "The server has no credentials for the bucket.",
  store_unavailable: "The bucket does not answer, so it cannot be played now.",
};

/** 75500 as 1:15; hours where there are some. */
export function clock(ms) {
  const seconds = Math.floor(ms / 1000);
  const two = (number) => String(number).padStart(2, "0");
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor((seconds % 3600) / 60);
  return hours ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

/** The stretch of a moment, to the end of its last second; of a still there is none. */
export function span(startMs, endMs) {
  return endMs > startMs ? `${clock(startMs)}–${clock(endMs + 999)}` : "";
}

/** "1:15" and "90", "90s", "2 min" in seconds; null where it is none of them. */
export function seconds(text) {
  const given = text.trim().toLowerCase();
  const parts = given.split(":");
  if (parts.length > 1 && parts.length < 4 && parts.every((part) => /^\d+(\.\d+)?$/.test(part))) {
    return parts.reduce((sum, part) => 60 * sum + Number(part), 0);
  }
  const found = /^(\d+(?:\.\d+)?)\s*(s|sec|m|min|h)?$/.exec(given);
  const units = { s: 1, sec: 1, m: 60, min: 60, h: 3600 };
  return found ? Number(found[1]) * (units[found[2]] ?? 1) : null;
}

export function length(ms) {
  if (!ms) return "";
  if (ms < 60_000) return `${Number((ms / 1000).toFixed(1))} s`;
  return clock(ms);
}

export function bytes(count) {
  for (const [unit, size] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) {
    if (count >= size) return `${Number((count / size).toPrecision(3))} ${unit}`;
  }
  return `${count} bytes`;
}

export function count(number, one, many = `${one}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

/** In the reader's own zone; empty for what is no date. */
export function date(text) {
  const at = new Date(text);
  return Number.isNaN(at.getTime())
    ? ""
    : at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

export function kindName(mediaType) {
  return KINDS[mediaType] ?? "File";
}

/** A vector as what it is a vector of: seen, heard, read; its own name where it is none of these. */
export function senseName(modality) {
  return MODALITIES[modality] ?? modality;
}

export function staleReason(code) {
  return STALE[code] ?? "It cannot be played now.";
}

/**
 * The score of a moment: `words` for a glance, `number` beside it, `detail` in a sentence, and the
 * `vector` that says most. The share of the collection that scores lower is on one scale for all;
 * before `sensedex calibrate` there is the cosine.
 */
export function score(moment) {
  const vector = strongest(moment);
  if (moment.vector_name === "words" && moment.words.length) {
    return { vector, words: "Named so", number: "", detail: `It holds ${moment.words.join(", ")}.` };
  }
  if (moment.share === null) {
    const number = moment.cosine.toFixed(2);
    return { vector, words: "Cosine", number, detail: `The cosine is ${number}. No share: sensedex calibrate has not measured this collection.` };
  }
  const percent = shareText(moment.share);
  const bounds = [[0.998, "Outstanding"], [0.99, "Strong"], [0.95, "Good"], [0.8, "Fair"]];
  const words = bounds.find(([least]) => moment.share >= least)?.[1] ?? "Weak";
  return {
    vector,
    words,
    number: percent,
    detail: `${words}: closer than ${percent} of the collection. The cosine is ${moment.cosine.toFixed(2)}.`,
  };
}

/** The vector that speaks loudest for it: cosines of two senses are on two scales, shares on one. */
function strongest(moment) {
  const known = moment.why.filter(({ share }) => share !== null);
  if (moment.vector_name === "words" || !known.length) return moment.vector_name;
  return known.reduce((best, one) => (one.share > best.share ? one : best)).vector_name;
}

/** As many digits as tell it from all of the collection. */
export function shareText(share) {
  const percent = 100 * share;
  if (percent >= 99.95) return `${Math.min(99.99, percent).toFixed(2)} %`;
  return percent >= 99 ? `${percent.toFixed(1)} %` : `${Math.round(percent)} %`;
}

/** The last part of a key, and what stands before it. */
export function nameOf(key) {
  const at = key.replace(/\/+$/, "").lastIndexOf("/");
  return { folder: key.slice(0, at + 1), name: key.slice(at + 1) || key };
}

const HIDDEN = /[\p{Cc}\p{Zl}\p{Zp}]|(?!\u200d)\p{Cf}/gu;

/** A text of a bucket with what would not be seen, or would turn the line round, spelt out. */
export function shown(text) {
  return String(text).replace(HIDDEN, (sign) => `\\u${sign.codePointAt(0).toString(16).padStart(4, "0")}`);
}
