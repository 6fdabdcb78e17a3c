// The API of this server: JSON in and out, problem documents as errors, a key where one is wanted.

const STORED_KEY = "sensedex.key";

/** What the server, or the way to it, has against a request: title, detail, remedy for a person. */
export class Problem extends Error {
  constructor({ title, detail, remedy = "", code = "", status = 0, request_id = "" }) {
    super(detail);
    Object.assign(this, { title, detail, remedy, code, status, requestId: request_id });
  }
}

let askForKey = null;
let asking = null;

/** `ask(wrong)` gives a key, or null where there is none; it is called once for all who wait. */
export function onKeyWanted(ask) {
  askForKey = ask;
}

/** GET. Raises Problem, and AbortError where the signal says so. */
export function get(address, signal = null) {
  return answer(address, { signal });
}

/** POST of JSON. */
export function post(address, body, signal = null) {
  const headers = { "Content-Type": "application/json" };
  return answer(address, { method: "POST", headers, body: JSON.stringify(body), signal });
}

/** POST of a request and of files, by the names of their parts. */
export function postFiles(address, request, files, signal = null) {
  const body = new FormData();
  body.append("request", JSON.stringify(request));
  for (const [name, file] of files) body.append(name, file, name);
  return answer(address, { method: "POST", body, signal });
}

async function answer(address, options) {
  let key = sessionStorage.getItem(STORED_KEY);
  let response = await sent(address, options, key);
  for (let asked = 0; response.status === 401 && askForKey && asked < 5; asked += 1) {
    // Another request may have got a new one meanwhile.
    const given = sessionStorage.getItem(STORED_KEY);
    key = given === key ? await newKey(key !== null) : given;
    if (key === null) break;
    response = await sent(address, options, key);
  }
  if (!response.ok) throw await problemOf(response);
  return response.json();
}

async function sent(address, options, key) {
  const headers = { Accept: "application/json", ...options.headers };
  if (key) headers.Authorization = `Bearer ${key}`;
  try {
    return await fetch(address, { ...options, headers, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({
      title: "No answer",
      detail: "The server cannot be reached.",
      remedy: "See whether sensedex serve still runs, then try again.",
      code: "unreachable",
    });
  }
}

/** All requests that wait for a key get the one that is typed once. */
async function newKey(wrong) {
  asking ??= askForKey(wrong).finally(() => {
    asking = null;
  });
  const key = await asking;
  if (key !== null) sessionStorage.setItem(STORED_KEY, key);
  return key;
}

async function problemOf(response) {
  try {
    const document = await response.json();
    if (document.detail) return new Problem(document);
  } catch {
    // Something on the way has answered in its own words.
  }
  return new Problem({
    title: response.statusText || "No answer",
    detail: `The server answered with status ${response.status}.`,
    remedy: "Try again in a moment.",
    status: response.status,
  });
}
