// The lab's queue: the fields of a case that are to be taken again, and why. Nothing that the AI says of cells is here.
import { byId, h } from "./dom.js";
import { ask } from "./server.js";
import { caseWord, clock, count } from "./words.js";

let asked = null;

/** Fills the pane with the fields of one case, or of all; `back` leaves it. */
export async function showRetakes(key, line, back) {
  const mine = (asked = {});
  const box = byId("case");
  box.replaceChildren(h("p", { className: "hint" }, "Loading…"));
  try {
    const { body } = await ask("/api/retakes");
    if (mine !== asked) return;
    const fields = body.fields.filter((field) => field.key === key);
    box.replaceChildren(h("article", { className: "retakes" },
      h("header", { className: "figures-head" }, h("button", { type: "button", className: "round back", ariaLabel: "Back to the list", onclick: back }, "‹"), h("h1", { className: "case-id", tabIndex: -1 }, line ? caseWord(line) : "Take again")),
      h("p", {}, fields.length ? `${count(fields.length, "field")} to take again.` : "Nothing of this case is to be taken again now."),
      h("ol", { className: "retake-list" }, ...fields.map(item))));
  } catch (error) {
    if (mine === asked) box.replaceChildren(h("div", { className: "failed" }, h("p", { role: "alert" }, error.message), h("button", { type: "button", className: "first", onclick: () => showRetakes(key, line, back) }, "Try again")));
  }
}

export function leaveRetakes() {
  asked = null;
}

function item(field) {
  const picture = field.has_image ? h("img", { src: `/api/retakes/${field.image_id}/small`, alt: "The field that was refused", loading: "lazy" }) : h("span", { className: "no-picture quiet" }, "its picture never left the microscope");
  return h("li", {}, picture, h("div", {}, h("p", {}, field.text), h("p", { className: "quiet" }, `${field.device}, captured ${clock(field.captured_at)}`)));
}
