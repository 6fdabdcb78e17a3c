// What a search is narrowed by: type, sense, tag, date, duration.

import { emptySearch, hasFilters, withoutFilters } from "./address.js";
import { element, icon } from "./elements.js";
import { length, seconds, senseName, shown } from "./phrases.js";

const TYPES = [["image", "Pictures"], ["audio", "Sounds"], ["video", "Videos"]];

/** `collection`: `{about, facets}`. `onSearch(search)` whenever one changes. */
export function makeFilters(search, collection, onSearch) {
  const counted = new Map(collection.facets.facets.map(({ field, values }) => [field, values]));
  const ranges = new Map(collection.facets.ranges.map((range) => [range.field, range]));
  const parts = [
    toggles("Type", "types", typesOf(counted.get("media_type") ?? [])),
    toggles("Compare what is", "senses", sensesOf(collection.about)),
    tags(counted.get("tags") ?? []),
    dates(ranges.get("last_modified")),
    durations(ranges.get("asset_duration_ms")),
    hasFilters(search)
      ? element("button", { type: "button", class: "plain", text: "Clear filters", onclick: () => onSearch(withoutFilters(search)) })
      : null,
  ];
  const row = element("div", { class: "filters", id: "filters", role: "group", "aria-label": "Filters" }, ...parts);
  const open = element(
    "button",
    {
      type: "button", class: "filters-open", "aria-expanded": "false", "aria-controls": "filters",
      onclick: () => {
        const now = open.getAttribute("aria-expanded") !== "true";
        open.setAttribute("aria-expanded", String(now));
        row.classList.toggle("opened", now);
      },
    },
    icon("filters"), hasFilters(search) ? "Filters, some set" : "Filters",
  );
  row.addEventListener("keydown", closed);
  return element("div", { class: "narrowing" }, open, row);

  function changed(facts) {
    onSearch({ ...emptySearch(), ...search, ...facts });
  }

  function toggles(name, field, choices) {
    const buttons = choices.map(({ value, text, title, shade }) => {
      const on = search[field].includes(value);
      return element("button", {
        type: "button", class: shade ? `toggle ${shade}` : "toggle", text, title, id: `${field}-${value}`,
        "aria-pressed": String(on),
        onclick: () => changed({
          [field]: on ? search[field].filter((one) => one !== value) : [...search[field], value],
        }),
      });
    });
    return element("div", { class: "toggles", role: "group", "aria-label": name }, ...buttons);
  }

  function tags(values) {
    if (!values.length && !search.tags.length) return null;
    const all = new Map(values.map(({ value, count }) => [value, count]));
    for (const tag of search.tags) if (!all.has(tag)) all.set(tag, 0);
    const boxes = [...all].map(([tag, count]) => {
      const box = element("input", {
        type: "checkbox", value: tag,
        onchange: () => changed({
          tags: box.checked ? [...search.tags, tag] : search.tags.filter((one) => one !== tag),
        }),
      });
      box.checked = search.tags.includes(tag);
      return element("label", {}, box, element("span", { text: shown(tag) }), element("small", { text: count.toLocaleString("en") }));
    });
    return folded("Tags", search.tags.length ? search.tags.map(shown).join(", ") : "", ...boxes);
  }

  function dates(range) {
    if (!range?.least && !search.from && !search.to) return null;
    const field = (name, label) => element("label", {}, label, element("input", {
      type: "date", value: search[name], id: `date-${name}`, onchange: (event) => changed({ [name]: event.target.value }),
    }));
    const text = search.from || search.to ? `${search.from || "…"} – ${search.to || "…"}` : "";
    const known = range?.least ? element("p", { class: "hint", text: `Written from ${day(range.least)} to ${day(range.most)}` }) : null;
    return folded("Date", text, field("from", "From"), field("to", "To"), known);
  }

  function durations(range) {
    if (!range?.most && !search.longer && !search.shorter) return null;
    const field = (name, label, example) => {
      const input = element("input", {
        type: "text", inputmode: "text", placeholder: example, value: search[name] ? length(1000 * search[name]) : "",
        id: `duration-${name}`,
        onchange: () => {
          const asked = input.value.trim() === "" ? "" : seconds(input.value);
          input.setAttribute("aria-invalid", String(asked === null));
          if (asked !== null) changed({ [name]: String(asked) });
        },
      });
      return element("label", {}, label, input);
    };
    const set = [search.longer && `from ${length(1000 * search.longer)}`, search.shorter && `to ${length(1000 * search.shorter)}`];
    const known = range?.most ? element("p", { class: "hint", text: `The longest is ${length(range.most)}. 90, 1:30 or 2 min` }) : null;
    return folded("Duration", set.filter(Boolean).join(" "), field("longer", "At least", "0:10"), field("shorter", "At most", "5 min"), known);
  }
}

function typesOf(values) {
  const counts = new Map(values.map(({ value, count }) => [value, count]));
  return TYPES.map(([value, text]) => ({ value, text, title: `${(counts.get(value) ?? 0).toLocaleString("en")} windows` }));
}

function sensesOf(about) {
  return about.vectors.map(({ name, modality }) => {
    const alone = about.vectors.filter((one) => one.modality === modality).length === 1;
    const text = alone ? senseName(modality) : name;
    return { value: name, text: text[0].toUpperCase() + text.slice(1), title: `Compares by the vector ${name}`, shade: modality };
  });
}

function folded(name, set, ...inside) {
  const summary = element("summary", { class: set ? "set" : "" }, set ? `${name}: ${set}` : name);
  const made = element("details", { class: "folded", name: "filter" }, summary, element("div", { class: "sheet" }, ...inside));
  document.addEventListener("pointerdown", function away(event) {
    if (!made.isConnected) document.removeEventListener("pointerdown", away);
    else if (!made.contains(event.target)) made.open = false;
  });
  return made;
}

function closed(event) {
  const open = event.target.closest("details[open]");
  if (event.key !== "Escape" || !open) return;
  open.open = false;
  open.querySelector("summary").focus();
}

function day(text) {
  return text.slice(0, 10);
}
