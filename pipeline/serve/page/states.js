// What stands where nothing else does: loading, an error, no answer.

import { element, icon } from "./elements.js";
import { shown } from "./phrases.js";

/** Cards that are still on their way. */
export function skeletons(number) {
  const cards = Array.from({ length: number }, () => element("li", { class: "moment skeleton" }, element("div", { class: "frame" }), element("span", { class: "name" })));
  return element("ol", { class: "moments waiting", "aria-hidden": "true" }, ...cards);
}

export function loading(text) {
  return element("p", { class: "loading", text });
}

/** A problem of the API: what, why, what to do; and once more, or another way, where that helps. */
export function problemState(problem, again = null, way = { text: "Try again", go: again }) {
  const known = typeof problem.code === "string";
  const title = known ? problem.title : "The page has a defect";
  const number = problem.requestId ? element("p", { class: "small", text: `Request ${problem.requestId}` }) : null;
  return element(
    "div", { class: "state wrong", role: "alert" },
    icon("gone"),
    element("h2", { text: headline(problem, title) }),
    element("p", { text: shown(known ? problem.detail : problem.message) }),
    known && problem.remedy ? element("p", { class: "remedy", text: shown(problem.remedy) }) : null,
    way.go && element("button", { type: "button", text: way.text, onclick: way.go }),
    number,
  );
}

const HEADLINES = {
  upload_forgotten: "The server has forgotten what you gave it",
  too_many_uploads: "Too much at once",
  too_many_searches: "Too much at once",
  too_slow: "That took too long",
  index_unavailable: "The index does not answer",
  unreachable: "The server cannot be reached",
  no_asset: "It is not in the collection",
  undecodable: "The file cannot be decoded",
  no_report: "There is no report",
  key_wanted: "A key is wanted",
};

const BY_STATUS = {
  404: "There is nothing here",
  410: "It is no longer what was indexed",
  422: "That cannot be asked so",
  500: "The server has a defect",
  503: "Not just now",
};

function headline(problem, title) {
  return HEADLINES[problem.code] ?? BY_STATUS[problem.status] ?? title;
}

/** Nothing was found. `ways`: `{text, go}`, what may find something. */
export function noAnswer(ways) {
  return element(
    "div", { class: "state none" },
    icon("search"),
    element("h2", { text: "Nothing answers to that" }),
    element("p", { text: ways.length ? "It may be there, and what narrows the search keeps it away." : "Nothing that is indexed comes near it." }),
    element("div", { class: "act-row" }, ...ways.map(({ text, go }) => element("button", { type: "button", text, onclick: go }))),
  );
}
