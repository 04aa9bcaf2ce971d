// The seldom used buttons: how pictures are encoded, what is measured here, and the device's own report.
import { choices, h, open } from "./dialogs.js";
import { bytes, plain } from "./words.js";

const QUALITIES = [
  { value: "", words: "As edge.toml says" },
  { value: "85", words: "JPEG 85: smallest" },
  { value: "95", words: "JPEG 95" },
  { value: "webp", words: "WebP: without loss" },
  { value: "png", words: "PNG: without loss, largest" },
];

export function askQuality(state, act) {
  const now = state.jpeg_quality === null ? "without loss" : `JPEG ${state.jpeg_quality}`;
  const options = choices("quality", QUALITIES);
  options.list.querySelector("input").checked = true;
  open("Quality of the next pictures", [h("p", {}, `Now: ${now}. A change stays until it is taken back, restarts included.`), options.list], [
    ["Set", () => {
      const taken = options.taken();
      if (taken === "") return act("set_quality", {});
      if (taken === "png" || taken === "webp") return act("set_quality", { format: taken });
      return act("set_quality", { format: "jpeg", jpeg_quality: Number(taken) });
    }, "first"],
  ]);
}

const CALLED = ["not used", "good", "bad"];

/** Asks which of the last captures are good and which bad: the gate's limits are learned from them, and the scale from
 *  the red cells of the good ones. */
export async function askCalibrate(act) {
  const state = await (await fetch("/state")).json();
  const shown = state.captures.filter((capture) => capture.has_picture);
  const called = new Map();
  const taken = (word) => [...called].filter(([, now]) => now === word).map(([id]) => id);
  const tiles = shown.map((capture) => {
    const word = h("span", { className: "thumb-words" }, `${capture.seq}: not used`);
    const image = h("img", { src: `/captures/${capture.image_id}.jpg`, alt: `Capture ${capture.seq}` });
    const tile = h("button", { type: "button", className: "thumb" }, h("span", { className: "thumb-picture" }, image), word);
    tile.onclick = () => {
      const next = CALLED[(CALLED.indexOf(called.get(capture.image_id) ?? CALLED[0]) + 1) % CALLED.length];
      called.set(capture.image_id, next);
      word.textContent = `${capture.seq}: ${next}`;
      tile.dataset.verdict = { good: "good", bad: "refused" }[next] ?? "none";
    };
    return tile;
  });
  const few = (word) => `${taken(word).length} called ${word}`;
  open("Calibrate", [
    h("p", {}, "Touch a capture to call it good, again to call it bad. Three of each teach the gate's limits; the red cells of good ones, in focus, give the scale."),
    tiles.length ? h("div", { className: "tiles" }, ...tiles) : h("p", {}, "No capture to learn from yet: take three good ones and three bad ones first."),
  ], [
    ["Undo the last", () => act("calibrate", { undo: true }), "danger"],
    ["Set scale", () => (taken("good").length ? act("calibrate", { red_cells: taken("good").join(",") }) : "Call the captures good whose red cells count.")],
    ["Learn limits", () => (taken("good").length < 3 || taken("bad").length < 3
      ? `${few("good")}, ${few("bad")}: at least 3 of each needed.`
      : act("calibrate", { good: taken("good").join(","), bad: taken("bad").join(",") })), "first"],
  ], { wide: true });
}

export async function showReport(wish) {
  const answer = await wish("report");
  const body = answer.ok
    ? h("dl", { className: "facts" }, ...rows(answer.result))
    : h("p", { className: "answer" }, answer.error);
  open("Report", [body], [], { closeWord: "Close", wide: true });
}

function rows(result, before = "") {
  return Object.entries(result).flatMap(([name, value]) => {
    const whole = before + plain(name);
    if (value !== null && typeof value === "object" && !Array.isArray(value)) return rows(value, `${whole}: `);
    if (value === "") return [];
    const isSize = name.endsWith("bytes") && value !== null;
    const text = isSize ? bytes(value) : Array.isArray(value) ? value.join(", ") : String(value ?? "not known");
    return [h("div", {}, h("dt", {}, whole), h("dd", {}, text))];
  });
}
