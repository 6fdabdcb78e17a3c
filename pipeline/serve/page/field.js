// The field at the top: words, and buttons for a file and for the microphone.

import { element, fill, icon, signButton, tell } from "./elements.js";
import { canRecord, record, refusal } from "./recorder.js";
import { fileTerm, kindOf } from "./uploads.js";

const NO_MEDIA = "That is no picture, sound or video, as far as this browser can tell.";

/**
 * In `home`. `onWords(text)` when words are asked for, `onFiles(terms)` when files are given.
 * Returns `show(words)`, `take(files)` for what was dropped or pasted, and `focus()`.
 */
export function makeField(home, { onWords, onFiles }) {
  const input = element("input", {
    id: "words", type: "search", name: "words", autocomplete: "off", enterkeyhint: "search",
    spellcheck: "false", placeholder: "A dog on a beach",
    "aria-label": "Search by words", "aria-keyshortcuts": "/",
  });
  const picker = element("input", {
    type: "file", hidden: true, multiple: true, accept: "image/*,audio/*,video/*",
    "aria-label": "A picture, a sound or a video",
    onchange: () => {
      take([...picker.files]);
      picker.value = "";
    },
  });
  const pick = signButton("file", "Search by a picture, a sound or a video", () => picker.click(), { id: "pick" });
  const microphone = canRecord() ? makeMicrophone(notice, (file) => take([file])) : null;
  const said = element("p", { class: "notice", role: "alert", hidden: true });
  const form = element(
    "form",
    {
      class: "field", autocomplete: "off",
      onsubmit: (event) => {
        event.preventDefault();
        notice("");
        onWords(input.value.trim());
      },
    },
    icon("search"), input, pick, microphone, picker,
    element("button", { type: "submit", class: "hidden-words", text: "Search" }),
  );
  fill(home, form, said);
  document.addEventListener("keydown", (event) => {
    const inField = /^(input|textarea|select)$/i.test(event.target.tagName);
    if (event.key === "/" && !inField && !document.querySelector("dialog[open]")) {
      event.preventDefault();
      input.focus();
      input.select();
    }
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      event.preventDefault(); // it would empty the field
      input.blur();
    }
    if (event.key === "ArrowDown") {
      const first = document.querySelector(".moments a[tabindex='0']");
      if (first) {
        event.preventDefault();
        first.focus();
      }
    }
  });

  function notice(text) {
    said.textContent = text;
    said.hidden = !text;
  }

  function take(files) {
    const fitting = files.filter(kindOf);
    notice(fitting.length ? "" : NO_MEDIA);
    if (!fitting.length) return;
    tell(`Searching by ${fitting.map(({ name }) => name).join(", ")}`);
    onFiles(fitting.map((file) => fileTerm(file)));
  }

  return {
    show(words) {
      if (input.value.trim() !== words) input.value = words;
    },
    take,
    focus: () => input.focus(),
  };
}

/** A button that listens while it is on. */
function makeMicrophone(notice, onSound) {
  let stop = null;
  const time = element("span", { class: "recorded", hidden: true });
  const button = signButton("microphone", "Search by a sound from the microphone", toggle, { id: "record", "aria-pressed": "false" });
  button.append(time);
  return button;

  async function toggle() {
    if (stop) {
      stop();
      return;
    }
    notice("");
    button.disabled = true;
    try {
      stop = await record((text) => {
        time.textContent = text;
      }, ended);
      look("stop", "Stop, and search by what was heard");
    } catch (error) {
      notice(refusal(error));
    }
    button.disabled = false;
  }

  function ended(file) {
    stop = null;
    look("microphone", "Search by a sound from the microphone");
    if (file) onSound(file);
    else notice("Nothing was heard.");
  }

  function look(sign, name) {
    button.querySelector("svg").replaceWith(icon(sign));
    button.setAttribute("aria-label", name);
    button.title = name;
    button.setAttribute("aria-pressed", String(sign === "stop"));
    time.hidden = sign !== "stop";
  }
}
