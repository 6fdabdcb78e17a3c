// Elements, made by calls: whatever comes from a bucket goes in as text, and never as HTML.

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element. `facts`: attributes by name; a name that begins with `on` is a listener, `class`,
 * `text`, `hidden` and `value` are what they are called; null, undefined and false leave it out.
 * Children are elements and texts; null is none.
 */
export function element(tag, facts = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(facts)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "text") made.textContent = value;
    else if (name === "class") made.className = value;
    else if (name === "value") made.value = value;
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

/** Everything in `parent` gives way to `children`. */
export function fill(parent, ...children) {
  parent.replaceChildren(...children.flat().filter((child) => child !== null));
}

const PATHS = {
  search: ["M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14z", "M16 16l4.5 4.5"],
  file: ["M12 16V5", "M7.5 9.5L12 5l4.5 4.5", "M5 15v3a2 2 0 0 0 2 2h10a2 2 0 0 0 2-2v-3"],
  microphone: ["M12 3a3 3 0 0 0-3 3v5a3 3 0 0 0 6 0V6a3 3 0 0 0-3-3z", "M6 11a6 6 0 0 0 12 0", "M12 17v4"],
  stop: ["M7 7h10v10H7z"],
  plus: ["M12 6v12", "M6 12h12"],
  minus: ["M6 12h12"],
  close: ["M7 7l10 10", "M17 7L7 17"],
  play: ["M8 5.5v13l10.5-6.5z"],
  image: ["M4 5h16v14H4z", "M4 16l4.5-4.5 3.5 3.5 3-3 5 5", "M9 9.5h.01"],
  audio: ["M5 10v4", "M9 7v10", "M13 4v16", "M17 8v8", "M21 10.5v3"],
  video: ["M3.5 6.5h12v11h-12z", "M15.5 11l5-3v8l-5-3"],
  point: ["M12 21s-6-5.6-6-10.5a6 6 0 0 1 12 0C18 15.4 12 21 12 21z", "M12 10.5h.01"],
  filters: ["M4 7h10", "M18 7h2", "M4 17h2", "M10 17h10", "M16 5v4", "M8 15v4"],
  previous: ["M14.5 5.5L8 12l6.5 6.5"],
  next: ["M9.5 5.5L16 12l-6.5 6.5"],
  repeat: ["M5 12V9.5A2.5 2.5 0 0 1 7.5 7H18", "M15.5 4.5L18 7l-2.5 2.5", "M19 12v2.5a2.5 2.5 0 0 1-2.5 2.5H6", "M8.5 19.5L6 17l2.5-2.5"],
  gone: ["M12 8v5", "M12 16.5h.01", "M12 3.5l9 16H3z"],
};

/** A drawn sign, which says nothing to a screen reader. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("focusable", "false");
  svg.setAttribute("class", `icon sign-${name}`);
  for (const d of PATHS[name]) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", d);
    svg.append(path);
  }
  return svg;
}

/** A button with a sign, whose name is spoken and shown when the pointer rests on it. */
export function signButton(sign, name, onclick, facts = {}) {
  return element("button", { type: "button", "aria-label": name, title: name, onclick, ...facts }, icon(sign));
}

/** Says it to a screen reader, once. */
export function tell(text) {
  document.getElementById("told").textContent = text;
}
