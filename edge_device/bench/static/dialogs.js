// Questions to the person at the bench, one at a time, in the page's one dialog.

const dialog = document.getElementById("dialog");
const parts = Object.fromEntries(
  ["title", "body", "error", "buttons"].map((name) => [name, document.getElementById(`dialog-${name}`)]),
);

/** An element with properties and children. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "data") Object.assign(element.dataset, value);
    else if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

let onShut = () => {};

/** Closes the dialog and tells who waits for that; before another question opens, too. */
function shut() {
  const done = onShut;
  onShut = () => {};
  if (dialog.open) dialog.close();
  done();
}

dialog.addEventListener("cancel", (event) => {
  event.preventDefault();
  shut();
});

/** Opens the dialog. `buttons` are [label, what happens, class]; what happens gives words to stay
 *  open with, or nothing to close. */
export function open(title, body, buttons, { closeWord = "Cancel", wide = false } = {}) {
  shut();
  parts.title.textContent = title;
  parts.body.replaceChildren(...body);
  parts.error.hidden = true;
  dialog.classList.toggle("wide", wide);
  const cancel = h("button", { type: "button", onclick: shut }, closeWord);
  const made = buttons.map(([label, happens, kind = ""]) => {
    const button = h("button", { type: "button", className: kind }, label);
    button.onclick = async () => {
      button.disabled = true;
      const error = await happens();
      button.disabled = false;
      if (error) say(error);
      else if (button.isConnected) shut();
    };
    return button;
  });
  parts.buttons.replaceChildren(cancel, ...made);
  parts.body.onkeydown = (event) => {
    if (event.key === "Enter" && event.target.tagName === "INPUT") made.at(-1)?.click();
  };
  dialog.showModal();
  parts.body.querySelector("input, [autofocus]")?.focus();
}

export function isOpen() {
  return dialog.open;
}

export function whenClosed(done) {
  onShut = done;
}

function say(error) {
  parts.error.textContent = error;
  parts.error.hidden = false;
}

/** Asks whether a thing that cannot be taken back is meant. */
export function confirm(title, text, word, happens, kind = "danger") {
  open(title, [h("p", {}, text)], [[word, happens, kind]]);
}

/** A text field with keys for a screen without a keyboard; `clean` is what becomes of the text. */
export function field(label, keys, clean, value = "") {
  const input = h("input", { id: "dialog-input", value, autocomplete: "off", spellcheck: false });
  const hasKeyboard = !matchMedia("(pointer: coarse) and (min-width: 700px)").matches;
  input.setAttribute("autocapitalize", "off");
  input.oninput = () => {
    input.value = clean(input.value);
  };
  const pad = h("div", { className: "keys", hidden: hasKeyboard });
  const type = (text) => {
    input.value = clean(text);
  };
  for (const key of keys) {
    pad.append(h("button", { type: "button", onclick: () => type(input.value + key) }, key));
  }
  pad.append(
    h("button", { type: "button", ariaLabel: "delete", onclick: () => type(input.value.slice(0, -1)) }, "⌫"),
  );
  if (!hasKeyboard) input.setAttribute("inputmode", "none");
  const toggle = h(
    "button",
    { type: "button", className: "plain", onclick: () => (pad.hidden = !pad.hidden) },
    "Keys",
  );
  const line = h("div", { className: "line" }, input, toggle);
  return { input, nodes: [h("label", { htmlFor: "dialog-input" }, label), line, pad] };
}

/** Big choices, one of which may be taken. */
export function choices(name, options) {
  const list = h("div", { className: "choices", role: "radiogroup" });
  for (const { value, words } of options) {
    list.append(h("label", {}, h("input", { type: "radio", name, value }), h("span", {}, words)));
  }
  return { list, taken: () => list.querySelector("input:checked")?.value ?? "" };
}
