// The address of what is shown, after the #: words and filters, an asset, a run. So back, forward,
// reload and a second tab work, and no server on the way writes what was asked into its log.

const TERM_KINDS = ["words", "image", "sound", "video", "point"];
const LISTS = { type: "types", in: "senses", tag: "tags" };
const TEXTS = { from: "from", to: "to", longer: "longer", shorter: "shorter" };

/** A search of nothing. `words` is what stands in the field; `terms` are the chips. */
export function emptySearch() {
  return {
    words: "", terms: [], types: [], senses: [], tags: [],
    from: "", to: "", longer: "", shorter: "", all: false,
  };
}

/** A chip: plus where `weight` is above 0. */
export function term(kind, value, weight = 1) {
  return { kind, value, weight };
}

export function sameSearch(one, other) {
  return searchQuery(one) === searchQuery(other);
}

export function hasTerms(search) {
  return search.words !== "" || search.terms.length > 0;
}

export function hasFilters(search) {
  const lists = [...Object.values(LISTS)].some((name) => search[name].length > 0);
  return lists || Object.values(TEXTS).some((name) => search[name] !== "");
}

/** The search without what narrows it. */
export function withoutFilters(search) {
  return { ...emptySearch(), words: search.words, terms: search.terms, all: search.all };
}

/** As `q=a+dog&minus-words=people&type=video`. A term that is not uploaded yet is left out. */
export function searchQuery(search) {
  const query = new URLSearchParams();
  if (search.words) query.set("q", search.words);
  for (const { kind, value, weight } of search.terms) {
    if (value) query.append(`${weight < 0 ? "minus" : "plus"}-${kind}`, value);
  }
  for (const [name, field] of Object.entries(LISTS)) {
    for (const value of search[field]) query.append(name, value);
  }
  for (const [name, field] of Object.entries(TEXTS)) {
    if (search[field]) query.set(name, search[field]);
  }
  if (search.all) query.set("all", "1");
  return query.toString();
}

function searchOf(query) {
  const search = emptySearch();
  for (const [name, value] of query) {
    const [sign, kind] = name.split("-");
    if (name === "q") search.words = value;
    else if (name in LISTS) search[LISTS[name]].push(value);
    else if (name in TEXTS) search[TEXTS[name]] = value;
    else if (name === "all") search.all = value === "1";
    else if ((sign === "plus" || sign === "minus") && TERM_KINDS.includes(kind)) {
      search.terms.push(term(kind, value, sign === "minus" ? -1 : 1));
    }
  }
  return search;
}

export function searchAddress(search) {
  const query = searchQuery(search);
  return query ? `#/?${query}` : "#/";
}

/** An asset at a time, and the search that led there, which colours its timeline. */
export function assetAddress(assetId, atMs = 0, search = emptySearch()) {
  const query = searchQuery(search);
  const at = atMs ? `at=${Math.round(atMs)}` : "";
  const all = [at, query].filter(Boolean).join("&");
  return `#/asset/${encodeURIComponent(assetId)}${all ? `?${all}` : ""}`;
}

export function runAddress(runId) {
  return `#/runs/${encodeURIComponent(runId)}`;
}

/** What an address shows: `{place: "search" | "asset" | "runs" | "run", ...}`. */
export function placeOf(hash) {
  const [path, query = ""] = hash.replace(/^#/, "").split(/\?(.*)/s);
  const asked = new URLSearchParams(query);
  const parts = path.split("/").filter(Boolean).map(decoded);
  const search = searchOf(asked);
  if (parts[0] === "asset" && parts[1]) {
    return { place: "asset", assetId: parts[1], atMs: Math.max(0, Number(asked.get("at")) || 0), search };
  }
  if (parts[0] === "runs") return { place: parts[1] ? "run" : "runs", runId: parts[1] ?? "", search };
  return { place: "search", search };
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
