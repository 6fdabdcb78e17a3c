// The place of runs: their history, and the one at work.

import { runAddress } from "./address.js";
import { get } from "./api.js";
import { element, fill } from "./elements.js";
import { count, date, length } from "./phrases.js";
import { loading, problemState } from "./states.js";

/** As `showSearch`. */
export function showRuns(home) {
  const stopped = new AbortController();
  begin();
  return { stop: () => stopped.abort() };

  async function begin() {
    fill(home, loading("Loading the runs …"));
    try {
      const found = await get("/v1/runs?limit=100", stopped.signal);
      fill(home, element(
        "article", { class: "runs" },
        element("h1", { text: "Runs" }),
        found.running ? running(found.running) : null,
        found.runs.length ? table(found.runs) : element("p", { class: "remedy", text: "No run has left a report yet. sensedex run makes the first." }),
      ));
    } catch (error) {
      if (error.name !== "AbortError") fill(home, problemState(error, begin));
    }
  }
}

/** What `sensedex status` says of it. */
function running(facts) {
  const known = Object.entries(facts).filter(([, value]) => ["string", "number"].includes(typeof value));
  return element(
    "section", { class: "part at-work" },
    element("h2", { text: "At work now" }),
    element("dl", {}, ...known.flatMap(([name, value]) => [element("dt", { text: name.replaceAll("_", " ") }), element("dd", { text: String(value) })])),
  );
}

function table(runs) {
  const most = Math.max(...runs.map(({ segments }) => segments), 1);
  const rows = runs.map((run) => {
    const bar = element("span", { class: "meter" }, element("span"));
    bar.firstChild.style.setProperty("--share", String(run.segments / most));
    return element(
      "tr", {},
      element("th", { scope: "row" }, element("a", { href: runAddress(run.run_id), text: date(run.started_at) || run.run_id })),
      element("td", { text: length(1000 * run.wall_seconds) }),
      element("td", { text: changes(run.objects_by_action) }),
      element("td", { class: "figure", text: run.segments.toLocaleString("en") }),
      element("td", {}, bar),
      element("td", { class: run.failures ? "figure failed" : "figure", text: run.failures ? count(run.failures, "object") : "none" }),
      element("td", { text: run.encoder }),
    );
  });
  const heads = ["Began", "Took", "Objects", "Windows", "", "Failed", "Encoder"];
  return element(
    "div", { class: "wide", tabindex: "0", role: "region", "aria-label": "History of runs" },
    element(
      "table", {},
      element("thead", {}, element("tr", {}, ...heads.map((text) => (text ? element("th", { scope: "col", text }) : element("td"))))),
      element("tbody", {}, ...rows),
    ),
  );
}

/** `12 new, 3 changed`; nothing where nothing was to be done. */
export function changes(byAction) {
  const told = Object.entries(byAction).filter(([name, number]) => number && name !== "unchanged");
  const unchanged = byAction.unchanged ?? 0;
  const parts = told.map(([name, number]) => `${number.toLocaleString("en")} ${name}`);
  if (unchanged) parts.push(`${unchanged.toLocaleString("en")} unchanged`);
  return parts.join(", ") || "none";
}
