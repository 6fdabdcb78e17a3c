// Asks for a key of the API, where the server wants one. It is kept until the tab is closed.

import { element } from "./elements.js";

/** A key, or null where none is given. `wrong`: the one before was not taken. */
export function askForKey(wrong) {
  return new Promise((resolve) => {
    const input = element("input", {
      id: "key", type: "password", autocomplete: "current-password", required: true, spellcheck: "false",
      "aria-describedby": "key-why", autofocus: true,
    });
    let given = null;
    const form = element(
      "form",
      {
        method: "dialog",
        onsubmit: (event) => {
          event.preventDefault();
          given = input.value.trim() || null;
          dialog.close();
        },
      },
      element("h2", { id: "key-title", text: "This server wants a key" }),
      element("p", {
        id: "key-why",
        text: wrong
          ? "It did not take the last one. Type it again, or ask whoever runs the server."
          : "It is one of serve.api_keys. This tab keeps it until it is closed.",
      }),
      element("label", { for: "key", text: "Key" }),
      input,
      element("div", { class: "act-row" }, element("button", { type: "submit", class: "main", text: "Go on" }), element("button", { type: "button", text: "Not now", onclick: () => dialog.close() })),
    );
    const dialog = element(
      "dialog",
      {
        class: "key", "aria-labelledby": "key-title",
        onclose: () => {
          dialog.remove();
          resolve(given);
        },
      },
      form,
    );
    document.body.append(dialog);
    dialog.showModal();
    input.focus();
  });
}
