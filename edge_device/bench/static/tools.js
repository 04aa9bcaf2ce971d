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

export function askCalibrate(act) {
  open("Calibrate", [
    h("p", {}, "The device measures the field that it sees now. Put a sharp, well lit field with cells under the microscope first."),
  ], [["Calibrate", () => act("calibrate", {}), "danger"]]);
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
