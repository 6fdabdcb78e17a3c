// A search of the page as a request of the API, and its files on their way there.

import { Problem, post, postFiles } from "./api.js";
import { isUpload, remember, remembered } from "./uploads.js";

const FIRST_PAGE = 24;
const LATER_PAGE = 48;
const ALIKE = 0.98;
const DAY_MS = 86_400_000;

/** The terms of the field and of the chips, as the API names them. */
export function termsOf(search) {
  const words = search.words ? [{ kind: "words", value: search.words, weight: 1 }] : [];
  const terms = [...words, ...search.terms];
  const added = terms.filter(({ weight }) => weight > 0);
  const required = search.all && added.length > 1;
  return terms.map((one) => ({
    kind: one.kind,
    value: one.value,
    weight: one.weight,
    ...(required && one.weight > 0 ? { required: true } : {}),
  }));
}

/** The conditions of the filters. */
export function conditionsOf(search) {
  const where = [];
  if (search.types.length) where.push({ field: "media_type", any_of: search.types });
  if (search.tags.length) where.push({ field: "tags", any_of: search.tags });
  const written = {};
  if (search.from) written.at_least = search.from;
  if (search.to) written.below = dayAfter(search.to);
  if (Object.keys(written).length) where.push({ field: "last_modified", ...written });
  const lasting = {};
  if (search.longer) lasting.at_least = Math.round(1000 * Number(search.longer));
  if (search.shorter) lasting.at_most = Math.round(1000 * Number(search.shorter));
  if (Object.keys(lasting).length) where.push({ field: "asset_duration_ms", ...lasting });
  return where;
}

/** The vectors to search; none for those that fit each term. */
export function vectorsOf(search, about) {
  if (search.senses.length) return search.senses;
  // A picture is looked for among pictures. Who wants sounds alone by it means the other sense.
  const pictures = !search.words && search.terms.every(({ kind }) => kind === "image");
  if (pictures && search.types.length === 1 && search.types[0] === "audio") {
    return about.vectors.filter(({ modality }) => modality === "audio").map(({ name }) => name);
  }
  return [];
}

export function requestOf(search, about, cursor = "") {
  return {
    terms: termsOf(search),
    where: conditionsOf(search),
    using: vectorsOf(search, about),
    limit: cursor ? LATER_PAGE : FIRST_PAGE,
    fold_above: ALIKE,
    ...(cursor ? { cursor } : {}),
  };
}

/**
 * A page of moments. Terms that have a file and no value yet are sent with it, and have one
 * afterwards; one that the server has forgotten is sent again where its file is still here.
 */
export async function ask(search, about, cursor, signal) {
  try {
    return await asked(search, about, cursor, signal);
  } catch (error) {
    if (error.code !== "upload_forgotten") throw error;
    const uploads = search.terms.filter(({ kind }) => isUpload(kind));
    if (!uploads.length || !uploads.every(({ value }) => remembered(value)?.file)) throw error;
    for (const one of uploads) {
      one.file = remembered(one.value).file;
      one.value = "";
    }
    return asked(search, about, cursor, signal);
  }
}

async function asked(search, about, cursor, signal) {
  const request = requestOf(search, about, cursor);
  const unsent = search.terms.filter(({ file, value }) => file && !value);
  if (!unsent.length) return post("/v1/search", request, signal);
  checkSize(unsent, about.limits.upload_bytes);
  const parts = new Map(unsent.map((one, index) => [`file-${index}`, one]));
  for (const [name, one] of parts) {
    request.terms[search.terms.indexOf(one) + (search.words ? 1 : 0)].value = name;
  }
  const files = [...parts].map(([name, one]) => [name, one.file]);
  const found = await postFiles("/v1/search", request, files, signal);
  for (const [name, one] of parts) {
    one.value = found.uploads[name];
    remember(one);
  }
  return found;
}

function checkSize(unsent, most) {
  const size = unsent.reduce((sum, { file }) => sum + file.size, 0);
  if (size <= most) return;
  throw new Problem({
    title: "Too large",
    detail: `That is ${Math.ceil(size / 1e6)} MB, and this server takes ${Math.floor(most / 1e6)} MB.`,
    remedy: "Take a smaller picture, or a shorter piece of the sound.",
    code: "too_large",
  });
}

function dayAfter(day) {
  const at = Date.parse(`${day}T00:00:00Z`);
  return Number.isNaN(at) ? day : new Date(at + DAY_MS).toISOString().slice(0, 10);
}
