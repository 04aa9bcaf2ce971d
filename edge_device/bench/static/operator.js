// Who stands at the bench: asked once, kept in this browser, said with every action.
import { act } from "./device.js";
import { field, h, open, whenClosed } from "./dialogs.js";

const KEY = "hemowire.operator";
const PATTERN = /^[a-z][a-z0-9._-]{0,31}$/;

export function operator() {
  try {
    return localStorage.getItem(KEY) ?? "";
  } catch {
    return memory;
  }
}
let memory = "";

/** Asks for the operator's account; calls `then` once there is one, `never` where it was closed. */
export function askOperator(then = () => {}, never = () => {}) {
  const name = field(
    "Your account at the lab, in small letters",
    "abcdefghijklmnopqrstuvwxyz0123456789._-",
    (text) => text.toLowerCase().replace(/[^a-z0-9._-]/g, "").slice(0, 32),
    operator(),
  );
  let isDone = false;
  open("Who is at the bench?", [
    h("p", { className: "quiet" }, "It is written beside everything that is done here. Asked once per browser."),
    ...name.nodes,
  ], [["That is me", () => {
    if (!PATTERN.test(name.input.value)) return "An account begins with a letter: for example kim or a.lee";
    memory = name.input.value;
    try {
      localStorage.setItem(KEY, memory);
    } catch {
      // kept for as long as the page is open
    }
    isDone = true;
    return "";
  }, "first"]]);
  whenClosed(() => (isDone ? then() : never()));
}

/** `then`, after the operator was asked where that is still to be done. */
export function named(then) {
  return () => (operator() ? then() : askOperator(() => setTimeout(then)));
}

/** Has the device do something in the operator's name. */
export function wish(name, args = {}) {
  return new Promise((resolve) => {
    const go = () => resolve(act(name, args, operator()));
    if (operator()) go();
    else askOperator(go, () => resolve({ ok: false, result: {}, error: "Nothing was done: nobody said who is at the bench." }));
  });
}
