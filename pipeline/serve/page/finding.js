// The place of a search: chips, filters and moments; with nothing asked, what there is to be asked.

import { hasFilters, hasTerms, searchAddress, withoutFilters } from "./address.js";
import { ask } from "./asking.js";
import { makeChips, pointTerm } from "./chips.js";
import { element, fill, tell } from "./elements.js";
import { makeFilters } from "./filters.js";
import { count, shown } from "./phrases.js";
import { showResults } from "./results.js";
import { makeStart } from "./start.js";
import { noAnswer, problemState, skeletons } from "./states.js";
import { isUpload } from "./uploads.js";

const kept = new Map(); // answers by their address, for who comes back
const MOST_KEPT = 12;

/**
 * Shows the search in `home`. `collection`: a promise of `{about, facets}`. `go(search)` leads to
 * another one; `named(search)` when its uploads have got their values. Returns a function that ends
 * what is under way.
 */
export function showSearch(home, search, { collection, go, named, scrolled }) {
  const stopped = new AbortController();
  let results = null;
  const notes = element("div", { class: "notes" });
  const answer = element("div", { class: "answer", "aria-busy": "true" });
  const narrowing = element("div", { class: "narrowing-place" });
  const chips = hasTerms(search) ? makeChips(search, (terms, all) => go({ ...search, terms, all })) : null;
  fill(home, element("div", { class: "asked" }, chips, narrowing), notes, answer);
  fill(answer, hasTerms(search) ? skeletons(12) : null);
  begin();
  return {
    stop() {
      stopped.abort();
      results?.stop();
    },
    /** How much of it is there, for who comes back. */
    depth: () => results?.moments.length ?? 0,
  };

  async function begin() {
    try {
      const known = await collection();
      if (stopped.signal.aborted) return;
      if (!hasTerms(search)) {
        fill(answer, makeStart(known, stopped.signal));
        answer.removeAttribute("aria-busy");
        return;
      }
      fill(narrowing, makeFilters(search, known, go));
      const found = await first(known);
      if (!stopped.signal.aborted) await show(found, known);
    } catch (error) {
      if (error.name === "AbortError") return;
      fill(answer, error.code === "upload_forgotten" ? forgotten(error) : problemState(error, () => go({ ...search })));
      answer.removeAttribute("aria-busy");
      tell(error.message);
    }
  }

  async function first(known) {
    const address = searchAddress(search);
    const unsent = search.terms.some(({ value }) => !value);
    if (!unsent && scrolled.depth && kept.has(address)) return kept.get(address);
    const found = await ask(search, known.about, "", stopped.signal);
    named(search);
    kept.delete(searchAddress(search));
    kept.set(searchAddress(search), found);
    if (kept.size > MOST_KEPT) kept.delete(kept.keys().next().value);
    return found;
  }

  async function show(found, known) {
    const senses = new Map(known.about.vectors.map(({ name, modality }) => [name, modality]));
    const said = [...found.notes];
    if (!known.about.meaningful) {
      said.push(`${known.about.encoder} is an encoder whose answers mean nothing: it shows that the parts fit.`);
    }
    fill(notes, ...said.map((text) => element("p", { text: shown(text) })));
    answer.removeAttribute("aria-busy");
    if (!found.moments.length) {
      fill(answer, noAnswer(waysOut(known.about)));
      tell("Nothing answers to that");
      return;
    }
    results = showResults(answer, found, {
      search, senses,
      more: (cursor) => ask(search, known.about, cursor, stopped.signal),
      on: { like: (moment, weight) => go({ ...search, terms: [...search.terms, pointTerm(moment, weight)] }) },
    });
    tell(`${count(found.moments.length, "moment")}${found.cursor ? ", and more as you scroll" : ""}`);
    if (scrolled.depth > found.moments.length) await results.restore(scrolled.depth);
    if (scrolled.top) window.scrollTo(0, scrolled.top);
  }

  function waysOut(about) {
    const ways = [];
    if (hasFilters(search)) ways.push({ text: "Search without filters", go: () => go(withoutFilters(search)) });
    const files = !search.words && search.terms.length > 0 && search.terms.every(({ kind }) => kind !== "words");
    if (files && !search.senses.length && about.vectors.length > 1) {
      const all = about.vectors.map(({ name }) => name);
      ways.push({ text: "Compare with every sense", go: () => go({ ...search, senses: all }) });
    }
    if (search.all) ways.push({ text: "Do without “all at once”", go: () => go({ ...search, all: false }) });
    const less = search.terms.some(({ weight }) => weight < 0);
    if (less) ways.push({ text: "Take nothing away", go: () => go({ ...search, terms: search.terms.filter(({ weight }) => weight > 0) }) });
    return ways;
  }

  /** The chips that it is about are marked. */
  function forgotten(error) {
    for (const one of search.terms) one.forgotten = isUpload(one.kind) && !one.file;
    home.querySelector(".terms")?.replaceWith(makeChips(search, (terms, all) => go({ ...search, terms, all })));
    const rest = search.terms.filter((one) => !one.forgotten);
    return problemState(
      { ...error, detail: error.message, remedy: "Drop, paste or choose the file again." }, null,
      { text: "Search without it", go: () => go({ ...search, terms: rest }) },
    );
  }
}
