// The place of one run: its report, as figures, bars and rows.

import { get } from "./api.js";
import { element, fill, icon } from "./elements.js";
import { bytes, count, date, length, shown } from "./phrases.js";
import { changes } from "./runs.js";
import { loading, problemState } from "./states.js";

const MOST_FAILURES = 500;

/** As `showSearch`. */
export function showRun(home, runId) {
  const stopped = new AbortController();
  begin();
  return { stop: () => stopped.abort() };

  async function begin() {
    fill(home, loading("Loading the report …"));
    try {
      show(home, await get(`/v1/report?run=${encodeURIComponent(runId)}`, stopped.signal));
    } catch (error) {
      if (error.name !== "AbortError") fill(home, problemState(error, begin));
    }
  }
}

function show(home, report) {
  fill(home, element(
    "article", { class: "runs" },
    element("a", { class: "back", href: "#/runs" }, icon("previous"), "All runs"),
    element("h1", { text: `Run of ${date(report.started_at)}` }),
    element("p", { class: "where", text: `${shown(report.bucket)}/${shown(report.prefix)} · ${report.collection} · ${report.encoder} · ${report.run_id}` }),
    figures(report),
    failures(report.failures),
    element(
      "div", { class: "columns" },
      bars("Where the time went", Object.entries(report.seconds_by_phase ?? {}).map(([name, value]) => [name, value, `${value.toFixed(1)} s`])),
      bars("Stages, summed over their workers", report.stages.map((one) => [one.name, one.busy_seconds, `${one.busy_seconds.toFixed(1)} s for ${count(one.items, "item").replace(/items?$/, one.unit)}`])),
      bars("Windows by sense", Object.entries(report.segments_by_modality).map(([name, value]) => [name, value, value.toLocaleString("en")])),
      bars("Labelled searches, found among the first k", (report.search ?? []).map((one) => [`${one.what} at ${one.k}`, one.found / one.queries, `${(one.found / one.queries).toFixed(2)} (${one.low.toFixed(2)}–${one.high.toFixed(2)})`]), 1),
    ),
  ));
  document.title = "Run · sensedex";
}

function figures(report) {
  const objects = Object.values(report.objects_by_status).reduce((sum, number) => sum + number, 0);
  const all = [
    [objects.toLocaleString("en"), "objects", statuses(report.objects_by_status)],
    [report.segments.toLocaleString("en"), "windows embedded", changes(report.objects_by_action)],
    [length(1000 * report.media_seconds), "of media", bytes(report.bytes_fetched)],
    [length(1000 * report.wall_seconds), "in all", speed(report)],
    [report.points_in_index === null ? "–" : report.points_in_index.toLocaleString("en"), "windows in the collection", report.points_in_index === null ? "it could not be asked" : ""],
  ];
  return element("ul", { class: "figures" }, ...all.map(([number, what, more]) => element(
    "li", {}, element("strong", { text: number || "0 s" }), element("span", { text: what }), more ? element("small", { text: more }) : null,
  )));
}

function statuses(byStatus) {
  return Object.entries(byStatus).map(([name, number]) => `${number.toLocaleString("en")} ${name}`).join(", ");
}

function speed({ media_seconds: media, wall_seconds: wall }) {
  return wall && media ? `${(media / wall).toFixed(1)} s of media a second` : "";
}

function failures(rows) {
  if (!rows.length) return element("p", { class: "good", text: "Every object got through." });
  const shownRows = rows.slice(0, MOST_FAILURES).map((one) => element(
    "tr", {},
    element("th", { scope: "row" }, element("bdi", { text: shown(one.key) })),
    element("td", {}, element("code", { text: one.code })),
    element("td", { text: shown(one.message) }),
    element("td", { text: shown(one.remedy) }),
  ));
  const more = rows.length > MOST_FAILURES ? element("p", { class: "small", text: `The first ${MOST_FAILURES} of ${rows.length}; sensedex failures has all.` }) : null;
  return element(
    "section", { class: "part" },
    element("h2", { text: count(rows.length, "object did not get through", "objects did not get through") }),
    element(
      "div", { class: "wide", tabindex: "0", role: "region", "aria-label": "Failures" },
      element(
        "table", { class: "failures" },
        element("thead", {}, element("tr", {}, ...["Key", "Code", "Why", "What to do"].map((text) => element("th", { scope: "col", text })))),
        element("tbody", {}, ...shownRows),
      ),
    ),
    more,
  );
}

/** Rows of `[name, number, text]`, as long as their part of `most`. */
function bars(title, rows, most = Math.max(...rows.map(([, number]) => number), 0)) {
  if (!rows.length || !most) return null;
  return element(
    "section", { class: "part" },
    element("h2", { text: title }),
    element("ul", { class: "bars" }, ...rows.map(([name, number, text]) => {
      const bar = element("span", { class: "meter" }, element("span"));
      bar.firstChild.style.setProperty("--share", String(number / most));
      return element("li", {}, element("span", { class: "bar-name", text: shown(name) }), bar, element("span", { class: "figure", text }));
    })),
  );
}
