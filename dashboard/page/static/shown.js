// Tells the server when lines that an event brought were on the screen: a measurement, never more often than needed.
import { wish } from "./server.js";

const REST_MS = 1000;
const MOST_KEYS = 50;
/** Which clock the stamps are of: it begins anew with each time the page is loaded. */
const PAGE_ID = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

let toldAt = -REST_MS;

export function tellShown(list, lines, told) {
  if (document.hidden || performance.now() - toldAt < REST_MS) return;
  toldAt = performance.now();
  // After the frame that draws them.
  requestAnimationFrame(() => setTimeout(() => {
    const drawn_ms = performance.now();
    const keys = lines.map((line) => line.key).filter((key) => list.isInView(key)).slice(0, MOST_KEYS);
    if (keys.length) wish("/api/shown", { page_id: PAGE_ID, ...told, drawn_ms, told_ms: performance.now(), keys });
  }));
}
