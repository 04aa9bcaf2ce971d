// Urgencies, ages and counts as people read them; a shape and a word beside every colour. Touches no page.
import { drawing, h, letterIn } from "./dom.js";

/** Word, short word and shape of each urgency; the colour is the style's. */
const URGENCIES = {
  emergency: ["APL SUSPECTED", "APL", ["M8 1.5h8l6.500 6.500v8l-6.500 6.500h-8l-6.500-6.500v-8z"], "!"],
  suspected_acute: ["ACUTE SUSPECTED", "ACUTE", ["M12 2 23 21.500H1z"], "!"],
  cannot_say: ["CANNOT SAY", "CANNOT SAY", ["M12 .8 23.200 12 12 23.200.8 12z"], "?"],
  suspected_chronic: ["CHRONIC SUSPECTED", "CHRONIC", ["M3 3h18v18H3z"], ""],
  no_leukemia_pattern: ["NO LEUKEMIA PATTERN", "NO PATTERN", ["M12 2a10 10 0 1 0 0 20 10 10 0 1 0 0-20zm0 5a5 5 0 1 1 0 10 5 5 0 1 1 0-10z"], ""],
  retake: ["TAKE AGAIN", "TAKE AGAIN", ["M12 3V.500l5.500 4.500L12 9.500V7a5 5 0 1 0 5 5h4a9 9 0 1 1-9-9z"], ""],
  hidden: ["NOT SHOWN YET", "READ FIRST", ["M3 10.500h18v3H3z"], ""],
};

/** The kind of a line: its urgency, `emergency` for rank 0, `hidden` while the model's answer is kept back. */
export function kindOf(line) {
  if (!line.urgency) return "hidden";
  return line.rank === 0 ? "emergency" : line.urgency;
}

export function urgencyWord(kind) {
  return (URGENCIES[kind] ?? URGENCIES.hidden)[0];
}

/** The shape alone, with its letter. */
export function shape(kind) {
  const [word, , paths, letter] = URGENCIES[kind] ?? URGENCIES.hidden;
  const form = drawing("shape-form", ...paths);
  if (letter) form.append(letterIn(letter, kind === "suspected_acute" ? 18.5 : 16.5));
  return h("span", { className: "shape", data: { kind }, role: "img", ariaLabel: word.toLowerCase() }, form);
}

/** Shape and word. */
export function mark(kind) {
  const [word, , paths] = URGENCIES[kind] ?? URGENCIES.hidden;
  return h("span", { className: "mark", data: { kind } }, drawing("mark-form", ...paths), h("span", {}, word));
}

let ahead = 0; // the server's clock less this browser's, in ms

/** The server says what time it is: ages go by its clock, whatever this one says. */
export function setNow(text) {
  const then = Date.parse(text);
  if (!Number.isNaN(then)) ahead = then - Date.now();
}

export const now = () => Date.now() + ahead;

/** "4 s", "3 min", "2 h 05", "6 d"; never below zero. */
export function age(text) {
  const then = Date.parse(text);
  if (Number.isNaN(then)) return "";
  return span((now() - then) / 1000);
}

export function span(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${String(Math.floor((whole % 3600) / 60)).padStart(2, "0")}`;
  return `${Math.floor(whole / 86400)} d`;
}

/** Time of day in this place, with the date where it is another day. */
export function clock(text) {
  const then = new Date(text);
  if (Number.isNaN(then.getTime())) return "not known";
  const time = then.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  return then.toDateString() === new Date(now()).toDateString() ? time : `${then.toLocaleDateString()} ${time}`;
}

export function count(number, one, many = `${one}s`) {
  return `${number} ${number === 1 ? one : many}`;
}

/** "7 white cells in 3 fields", or only the fields where nobody counted. */
export function seen(cells, fields) {
  return cells === null ? count(fields, "field") : `${count(cells, "white cell")} in ${count(fields, "field")}`;
}

/** How a case is called on screen; an unfiled field by the end of its id. */
export function caseWord(line) {
  if (line.case_id !== "unfiled") return line.case_id;
  return `unfiled ${line.key.slice(-6)}`;
}

export const STATUS = {
  preview: "preview, the picture is on its way",
  draft: "AI draft, not reviewed",
  final: "final",
  amended: "amended",
  entered_in_error: "entered in error",
};

export function plain(name) {
  return name.replaceAll("_", " ");
}
