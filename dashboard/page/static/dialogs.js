// Questions to the reader, one at a time, in the page's one dialog.
import { byId, h, write } from "./dom.js";

const dialog = byId("dialog");
const parts = Object.fromEntries(["title", "body", "error", "buttons"].map((name) => [name, byId(`dialog-${name}`)]));

export const isOpen = () => dialog.open;

export function shut() {
  if (dialog.open) dialog.close();
}

/** Opens the dialog. A button is [label, what happens, class]; what happens gives words to stay open with, or "" to
 *  close. `label` may be a function of nothing, asked again after every change in the body. */
export function open(title, body, buttons, { closeWord = "Cancel" } = {}) {
  shut();
  write(parts.title, title);
  parts.body.replaceChildren(...body.filter(Boolean));
  parts.error.hidden = true;
  const cancel = h("button", { type: "button", onclick: shut }, closeWord);
  const made = buttons.map(([label, happens, kind = ""]) => {
    const button = h("button", { type: "button", className: kind }, typeof label === "function" ? label() : label);
    button.onclick = async () => {
      button.disabled = true;
      const error = await happens(button);
      button.disabled = false;
      if (error) say(error);
      else if (button.isConnected) shut();
    };
    if (typeof label === "function") parts.body.addEventListener("change", () => write(button, label()));
    return button;
  });
  parts.buttons.replaceChildren(cancel, ...made);
  dialog.showModal();
  dialog.scrollTop = 0;
  (parts.body.querySelector("[autofocus]") ?? made.at(-1) ?? cancel).focus();
}

export function say(error) {
  write(parts.error, error);
  parts.error.hidden = false;
  parts.error.scrollIntoView({ block: "nearest" });
}

/** Choices, one of which may be taken. */
export function choices(name, options, taken = "") {
  const list = h("div", { className: "choices", role: "radiogroup" });
  for (const { key, words, kind = "" } of options) {
    list.append(h("label", { className: kind }, h("input", { type: "radio", name, value: key, checked: key === taken }), h("span", {}, words)));
  }
  return { list, taken: () => list.querySelector("input:checked")?.value ?? "" };
}

export function comment(label = "Comment (optional; no names of people)") {
  const input = h("textarea", { id: "comment", maxLength: 500, rows: 2 });
  return { input, nodes: [h("label", { htmlFor: "comment" }, label), input] };
}
