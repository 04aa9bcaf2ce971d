// The last captures as a strip of pictures, and one of them at a time in full, with what can be done about it.
import { choices, field, h, open, whenClosed } from "./dialogs.js";
import { named, wish } from "./operator.js";
import { STATES, STEPS, age, plain, score, verdictOf } from "./words.js";

const strip = document.getElementById("strip");
const items = new Map();
let shownId = "";

export function caseWord(id) {
  return id ?? "unfiled";
}

/** Brings the strip up to date: items stay the same elements, so nothing jumps under a finger. */
export function drawStrip(state) {
  const ids = new Set(state.captures.map((capture) => capture.image_id));
  for (const [id, item] of items) {
    if (!ids.has(id)) {
      item.element.remove();
      items.delete(id);
    }
  }
  state.captures.forEach((capture, n) => {
    let item = items.get(capture.image_id);
    if (!item) {
      item = newItem(capture);
      items.set(capture.image_id, item);
    }
    if (strip.children[n] !== item.element) strip.insertBefore(item.element, strip.children[n] ?? null);
    item.update(capture, state);
  });
  document.getElementById("no-captures").hidden = state.captures.length > 0;
  if (shownId) {
    const capture = state.captures.find((one) => one.image_id === shownId);
    if (capture) redraw?.(capture);
  }
}

function newItem(first) {
  const picture = h("img", { alt: "", decoding: "async", hidden: true });
  picture.onerror = () => (picture.hidden = true);
  const mark = h("span", { className: "mark", ariaHidden: "true" });
  const steps = h("span", { className: "steps", ariaHidden: "true" }, h("i"), h("i"), h("i"));
  const words = h("span", { className: "thumb-words" });
  const button = h("button", { type: "button", className: "thumb" },
    h("span", { className: "thumb-picture" }, picture, mark, steps), words);
  let latest = { capture: first, state: null };
  button.onclick = () => showCapture(latest.capture, latest.state);
  let hasAsked = false;
  return {
    element: h("li", {}, button),
    update(capture, state) {
      latest = { capture, state };
      if (capture.has_picture && !hasAsked) {
        hasAsked = true;
        picture.src = `/captures/${capture.image_id}.jpg`;
        picture.hidden = false;
      }
      const verdict = verdictOf(capture);
      button.dataset.verdict = verdict.kind;
      button.dataset.stat = capture.priority === "stat" ? "yes" : "";
      mark.textContent = verdict.mark;
      steps.dataset.step = STEPS[capture.state];
      const isOther = capture.case_id !== state.case.case_id;
      words.textContent = isOther ? caseWord(capture.case_id) : STATES[capture.state];
      words.classList.toggle("other", isOther);
      button.setAttribute("aria-label", `Capture ${capture.seq}, case ${caseWord(capture.case_id)}: ${verdict.word}, ${STATES[capture.state]}`);
    },
  };
}

let redraw = null;

/** One capture in full. */
export function showCapture(capture, state) {
  const picture = h("img", { className: "full", alt: `Capture ${capture.seq}` });
  if (capture.has_picture) picture.src = `/captures/${capture.image_id}.jpg`;
  else picture.hidden = true;
  const facts = h("div", { className: "capture-facts" });
  redraw = (now) => facts.replaceChildren(...factsOf(now));
  redraw(capture);
  const buttons = [];
  const known = (name) => state.actions.includes(name);
  if (capture.can_move && known("move_field")) {
    buttons.push(["Move to case…", () => later(named(() => askMove(capture, state)))]);
  }
  if (capture.can_send_anyway && known("send_anyway")) {
    buttons.push(["Send anyway…", () => later(named(() => askSendAnyway(capture, state))), "first"]);
  }
  open(`Capture ${capture.seq}`, [h("div", { className: "sheet" }, picture, facts)], buttons, {
    closeWord: "Close",
    wide: true,
  });
  shownId = capture.image_id;
  whenClosed(() => {
    shownId = "";
    redraw = null;
  });
}

/** The next dialog opens when this one has closed. */
function later(next) {
  setTimeout(next);
  return "";
}

function factsOf(capture) {
  const verdict = verdictOf(capture);
  const rows = [
    ["case", caseWord(capture.case_id)],
    ["state", STATES[capture.state] + (capture.outcome ? `, ${capture.outcome}` : "")],
    ["taken", `${age(capture.taken_s_ago)} ago`],
  ];
  if (capture.priority === "stat") rows.push(["priority", "STAT"]);
  if (capture.gate_override) {
    rows.push(["sent anyway", capture.override_reason ? plain(capture.override_reason) : "yes"]);
  }
  return [
    h("p", { className: "verdict-line", data: { verdict: verdict.kind } },
      h("span", { className: "mark", ariaHidden: "true" }, verdict.mark), h("strong", {}, verdict.word)),
    ...(capture.verdict ? [h("p", {}, capture.verdict)] : []),
    ...capture.warnings.map((warning) => h("p", {}, warning)),
    h("dl", { className: "facts" }, ...rows.flatMap(([name, value]) => [h("div", {}, h("dt", {}, name), h("dd", {}, value))])),
    h("ul", { className: "scores" }, ...capture.scores.map(scoreLine)),
  ];
}

function scoreLine(one) {
  const isLow = one.at_least !== null && one.value < one.at_least;
  const isHigh = one.at_most !== null && one.value > one.at_most;
  const limits = [];
  if (one.at_least !== null) limits.push(`at least ${score(one.at_least)}`);
  if (one.at_most !== null) limits.push(`at most ${score(one.at_most)}`);
  return h("li", { data: { verdict: isLow || isHigh ? "refused" : "good" } },
    h("span", {}, plain(one.name)), h("strong", {}, score(one.value)),
    h("span", { className: "quiet" }, limits.join(", ")));
}

function askSendAnyway(capture, state) {
  const reasons = choices("reason", state.override_reasons.map(({ name, words }) => ({ value: name, words })));
  open("Send it anyway?", [
    h("p", {}, capture.verdict),
    h("p", { className: "quiet" }, "It travels marked, with your account and this reason:"),
    reasons.list,
  ], [["Send anyway", async () => {
    if (!reasons.taken()) return "Choose a reason.";
    return (await wish("send_anyway", { image_id: capture.image_id, reason: reasons.taken() })).error;
  }, "first"]]);
}

function askMove(capture, state) {
  const target = caseField("New case", "");
  const nodes = [h("p", {}, `Capture ${capture.seq} belongs to ${caseWord(capture.case_id)} now. The move is written down with your account.`)];
  if (state.case.case_id && state.case.case_id !== capture.case_id) {
    nodes.push(h("button", { type: "button", onclick: () => (target.input.value = state.case.case_id) }, `The open case: ${state.case.case_id}`));
  }
  open("Move to another case", [...nodes, ...target.nodes], [["Move", async () =>
    checkCase(target.input.value) || (await wish("move_field", { image_id: capture.image_id, case_id: target.input.value })).error, "first"]]);
}

/** A field for a case id, which never names a patient. */
export function caseField(label, value) {
  return field(`${label}: 4 to 16 capitals, digits and dashes. Never a name.`, "1234567890ABCDEFGHIJKLMNOPQRSTUVWXYZ-",
    (text) => text.toUpperCase().replace(/[^A-Z0-9-]/g, "").slice(0, 16), value);
}

/** Words where this is no case id, as the device would say. */
export function checkCase(id) {
  if (/^(?=[A-Z-]*[0-9])[A-Z0-9][A-Z0-9-]{3,15}$/.test(id)) return "";
  return "A case id has 4 to 16 capitals, digits and dashes, at least one digit, and no dash first.";
}
