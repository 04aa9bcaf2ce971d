// What stands below the fold of a case: what happened to it, probabilities, times, and the model with its card.
import { h } from "./dom.js";
import { ask } from "./server.js";
import { STATUS, clock, plain, span } from "./words.js";

const cards = new Map();

/** What people and the microscope did. */
export function history(view) {
  if (!view.deeds.length) return [];
  const lines = view.deeds.map((one) => h("li", {},
    h("b", {}, one.what), ` ${[one.fab, one.person, clock(one.at), one.saw_ai ? "" : "before the AI was shown"].filter(Boolean).join(" · ")}`,
    one.comment ? h("p", { className: "comment" }, one.comment) : null));
  return [h("section", {}, h("h2", { className: "eyebrow" }, "What happened"), h("ol", { className: "history" }, ...lines))];
}

/** Why it cannot say, probabilities, times and the model; `shownAt` is when the case was first on this screen. */
export function facts(view, { kept, shownAt }) {
  const found = [];
  if (view.reason) found.push(h("section", {}, h("h2", { className: "eyebrow" }, "Why it cannot say"), h("p", {}, view.reason)));
  if (view.bars.length) {
    found.push(h("section", {}, h("h2", { className: "eyebrow" }, "Calibrated probabilities"), bars(view.bars), view.combined ? h("p", { className: "quiet" }, view.combined) : null));
  } else if (!view.is_blind) {
    found.push(h("section", {}, h("h2", { className: "eyebrow" }, "Calibrated probabilities"), h("p", { className: "quiet" }, "None: the model gives no numbers where it cannot say.")));
  }
  const captured = view.fields.map((field) => field.captured_at).sort()[0];
  const took = captured && shownAt ? (shownAt - Date.parse(captured)) / 1000 : null;
  found.push(h("section", {}, h("h2", { className: "eyebrow" }, "From capture to this screen"), factList([
    ["captured, by the device's clock", captured ? clock(captured) : "not known"],
    ["on this screen", shownAt ? clock(new Date(shownAt).toISOString()) : ""],
    ["between them", took === null || took < 0 ? "not known: the clocks disagree" : span(took)],
    ["state", STATUS[view.line.status] ?? plain(view.line.status)],
    ["kept on this device", kept ? clock(kept) : "no, from the server now"],
  ])));
  const model = h("section", { className: "model" }, h("h2", { className: "eyebrow" }, "Model"), h("p", { className: "model-name" }, view.model || "none: it ended on the device"),
    view.training_data ? h("p", { className: "quiet" }, view.training_data === "synthetic" ? "Trained on simulated smears only." : `Trained on: ${view.training_data}`) : null);
  if (view.model) addCard(model, view.model);
  found.push(model);
  return found;
}

async function addCard(section, name) {
  try {
    const card = cards.get(name) ?? (await ask(`/api/model?name=${encodeURIComponent(name)}`)).body;
    cards.set(name, card);
    if (!card.is_known) return section.append(h("p", { className: "quiet" }, "Its card is not on this machine."));
    section.append(
      h("h3", {}, "Limits of use"), h("ul", { className: "limits" }, ...card.limits_of_use.map((limit) => h("li", {}, limit))),
      h("h3", {}, "Measured"), factList(card.figures.map((figure) => [figure.name, figure.words])));
  } catch {
    section.append(h("p", { className: "quiet" }, "Its card could not be loaded."));
  }
}

function bars(list) {
  return h("ul", { className: "bars" }, ...list.map((bar) => {
    const fill = h("span", { className: "bar-fill" });
    fill.style.width = `${bar.share * 100}%`;
    return h("li", {}, h("span", { className: "bar-name" }, bar.name), h("span", { className: "bar-track" }, fill), h("b", {}, bar.words));
  }));
}

/** Names and values, those that are known. */
export function factList(rows) {
  return h("dl", { className: "facts" }, ...rows.filter(([, value]) => value).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}
