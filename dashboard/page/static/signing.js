// Signing, correcting, referring and asking for a retake: each asks once, naming the case and what is signed.
import { byId, h, write } from "./dom.js";
import { choices, comment, open } from "./dialogs.js";
import { wish } from "./server.js";
import { caseWord } from "./words.js";

const RETAKES = [
  { key: "focus", words: "Out of focus" },
  { key: "exposure", words: "Too dark or too bright" },
  { key: "stain", words: "Stain" },
  { key: "more_fields", words: "More fields" },
  { key: "other_area", words: "Another area of the smear" },
];

let me = null;
export function setMe(told) {
  me = told;
}

const place = (view) => `/api/cases/${encodeURIComponent(view.line.key)}`;

async function send(view, action, body, after) {
  const blind = view.is_blind ? "?blind=1" : "";
  const answer = await wish(`${place(view)}/${action}${blind}`, { version: view.line.version, ...body });
  await after();
  return answer.error;
}

export function askConfirm(view, after) {
  const note = comment();
  open(`Sign ${caseWord(view.line)}?`, [
    h("p", {}, "You agree with the AI. This is signed under your name:"),
    h("p", { className: "big-result" }, view.confirms),
    ...note.nodes,
  ], [[`Sign: ${view.confirms}`, () => send(view, "sign", { comment: note.input.value }, after), "first"]]);
}

/** Another result than the model's; the way to amend what was signed, and to answer before the AI's is shown. */
export function askAnswer(view, after) {
  const options = me.findings.map(({ key, words }) => ({ key, words, kind: key === "apl" ? "emergency" : "" }));
  const list = choices("finding", options);
  const fab = h("select", { id: "fab" });
  const fabBox = h("div", { className: "fab", hidden: true }, h("label", { htmlFor: "fab" }, "FAB subtype (optional)"), fab);
  const danger = h("p", { className: "notice", data: { level: "bad" }, hidden: true }, "APL is an emergency: the case goes to the top for everyone. Tell the ward yourself, now.");
  const chosen = () => me.findings.find((one) => one.key === list.taken());
  list.list.addEventListener("change", () => {
    const types = chosen()?.fab ?? [];
    fab.replaceChildren(h("option", { value: "" }, "not named"), ...types.map((type) => h("option", { value: type }, type)));
    fabBox.hidden = types.length === 0;
    danger.hidden = list.taken() !== "apl";
  });
  const note = comment();
  const id = caseWord(view.line);
  const isAmending = Boolean(view.signed_at);
  const label = () => (chosen() ? `Sign: ${chosen().words.split(";")[0]}` : "Choose a finding");
  open(view.is_blind ? `What do you see in ${id}?` : isAmending ? `Amend ${id} to…` : `Sign ${id} as…`, [
    view.is_blind ? h("p", { className: "quiet" }, "Your answer is stored before the AI's is shown; you can take it back or amend it then.") : null,
    isAmending ? h("p", { className: "quiet" }, `Signed is: ${view.signed}. It stays in the history.`) : null,
    danger, list.list, fabBox, ...note.nodes,
  ], [[label, () => {
    if (!chosen()) return "Choose a finding.";
    return send(view, isAmending ? "amend" : "sign", { finding: list.taken(), fab: fab.value || null, comment: note.input.value }, after);
  }, "first"]]);
}

export function askWithdraw(view, after) {
  const note = comment("Why was it an error? (needed; no names of people)");
  open(`Withdraw the report of ${caseWord(view.line)}?`, [h("p", {}, `Signed is: ${view.signed}. It stays in the history as entered in error.`), ...note.nodes],
    [["Withdraw", () => send(view, "withdraw", { comment: note.input.value }, after), "danger"]]);
}

export function askRefer(view, after) {
  const to = h("input", { id: "refer-to", maxLength: 32, autocapitalize: "off", spellcheck: false });
  const note = comment("What should the second reader look at? (no names of people)");
  open(`Refer ${caseWord(view.line)}?`, [h("p", {}, "It stays in the list for a second reader; nothing is signed."),
    h("label", { htmlFor: "refer-to" }, "Account of the reader (empty: whoever comes first)"), to, ...note.nodes],
    [["Refer", () => send(view, "refer", { to: to.value.trim(), comment: note.input.value }, after), "first"]]);
}

export function askRetake(view, after) {
  const list = choices("retake", RETAKES);
  const note = comment("Comment (optional; stays here, only the reason travels)");
  open(`Ask ${view.line.device} to take ${caseWord(view.line)} again?`, [list.list, ...note.nodes], [["Ask for a retake", async (button) => {
    if (!list.taken()) return "Choose a reason.";
    write(button, "Asking…");
    const answer = await wish(`${place(view)}/retake`, { version: view.line.version, reason: list.taken(), comment: note.input.value });
    write(button, "Ask for a retake");
    await after();
    if (answer.error) return answer.error;
    open(answer.ok ? "The microscope was told" : "The microscope did not take it", [h("p", { className: answer.ok ? "" : "warning" }, answer.words)], [], { closeWord: "Close" });
    return "";
  }, "first"]]);
}

export function reveal(view) {
  return wish(`${place(view)}/reveal`);
}

let ticking = 0;

/** While an answer is about to be signed, its own reader can take it back. */
export function offerUndo(view, after) {
  const toast = byId("toast");
  const { held } = view;
  clearInterval(ticking);
  if (!held || held.undo_s <= 0) {
    toast.hidden = true;
    return;
  }
  const until = performance.now() + held.undo_s * 1000;
  const words = byId("toast-words");
  const undo = byId("undo");
  undo.hidden = !held.is_own;
  const tick = () => {
    const left = Math.ceil((until - performance.now()) / 1000);
    toast.hidden = left <= 0;
    if (left <= 0) {
      clearInterval(ticking);
      setTimeout(after, 700); // the server signs it within that
      return;
    }
    write(words, `${caseWord(view.line)}: ${held.is_own ? "you" : held.person} ${held.words}. Signed in ${left} s.`);
  };
  undo.onclick = async () => {
    undo.disabled = true;
    const answer = await wish(`${place(view)}/undo`, { version: view.line.version });
    undo.disabled = false;
    if (!answer.error) toast.hidden = true;
    clearInterval(ticking);
    await after();
    if (answer.error) {
      toast.hidden = false;
      undo.hidden = true;
      write(words, answer.error);
    }
  };
  tick();
  ticking = setInterval(tick, 250);
}
