// The page: shows what its address names, and leads to other addresses.

import { emptySearch, hasTerms, placeOf, searchAddress } from "./address.js";
import { get, onKeyWanted } from "./api.js";
import { showAsset } from "./asset.js";
import { element, fill } from "./elements.js";
import { makeField } from "./field.js";
import { showSearch } from "./finding.js";
import { askForKey } from "./key.js";
import { labelOf } from "./chips.js";
import { showRun } from "./report.js";
import { showRuns } from "./runs.js";
import { shown } from "./phrases.js";
import { watchFiles } from "./uploads.js";

const home = document.getElementById("place");
let asked = null;
let now = { place: "search", search: emptySearch() };
let view = null;

onKeyWanted(askForKey);
history.scrollRestoration = "manual";
const field = makeField(document.getElementById("asking"), {
  onWords: (words) => go({ ...here(), words }),
  onFiles: (terms) => go({ ...here(), terms: [...here().terms, ...terms] }),
});
watchFiles(field.take);
addEventListener("popstate", () => show(placeOf(location.hash), history.state ?? {}));
addEventListener("scroll", remembering(), { passive: true });
show(placeOf(location.hash), history.state ?? {});
if (now.place === "search" && !hasTerms(now.search)) field.focus();

/** What is served and what it can be narrowed by, asked once; again where that failed. */
function collection() {
  asked ??= Promise.all([get("/v1/about"), get("/v1/facets")]).then(
    ([about, facets]) => ({ about, facets }),
    (error) => {
      asked = null;
      throw error;
    },
  );
  return asked;
}

/** The search that another one starts from: of an asset's page only what is asked. */
function here() {
  return now.search;
}

function go(search) {
  const focus = document.activeElement?.id;
  history.pushState({}, "", searchAddress(search));
  show({ place: "search", search }, {});
  // What was pressed has been made anew.
  if (focus) document.getElementById(focus)?.focus({ preventScroll: true });
}

/** An upload has its value now, and the address may carry it. */
function named(search) {
  if (now.search === search) history.replaceState(history.state, "", searchAddress(search));
}

function show(place, scrolled) {
  view?.stop();
  document.querySelector("dialog[open]")?.close();
  now = place;
  field.show(place.search.words);
  lit(document.getElementById("to-runs"), place.place.startsWith("run"));
  document.documentElement.classList.toggle("bare", place.place === "search" && !hasTerms(place.search));
  document.title = titleOf(place);
  if (!scrolled.top) window.scrollTo(0, 0);
  const common = { collection, go, named, scrolled };
  if (place.place === "asset") view = showAsset(home, place, common);
  else if (place.place === "runs") view = showRuns(home);
  else if (place.place === "run") view = showRun(home, place.runId);
  else view = showSearch(home, place.search, common);
}

function titleOf({ place, search }) {
  if (place === "runs" || place === "run") return "Runs · sensedex";
  const terms = search.terms.map((one) => `${one.weight < 0 ? "−" : "+"} ${labelOf(one)}`);
  const words = [shown(search.words), ...terms].filter(Boolean).join(" ");
  return words ? `${words} · sensedex` : "sensedex";
}

/** Where one was, for who comes back. */
function remembering() {
  let waiting = 0;
  return () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      const depth = view?.depth?.() ?? 0;
      history.replaceState({ top: Math.round(scrollY), depth }, "");
    }, 200);
  };
}

addEventListener("unhandledrejection", ({ reason }) => {
  if (reason?.name === "AbortError") return;
  fill(home, element("p", { class: "state wrong", role: "alert", text: `The page has a defect: ${reason?.message ?? reason}` }));
});

function lit(link, on) {
  if (on) link.setAttribute("aria-current", "page");
  else link.removeAttribute("aria-current");
}
