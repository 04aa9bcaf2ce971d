// A field to look into: pinch, wheel, drag, double tap, keys. The bytes shown are the recorded ones, checked here
// where the browser can; the map lies over them only when it is asked for.
import { h, write } from "./dom.js";

const MOST = 12;
const STEP = 1.5;
const TAP_MS = 320;
const TAP_PX = 24;
const BARS_UM = [500, 200, 100, 50, 20, 10, 5, 2, 1];

export class Viewer {
  constructor(seen) {
    this.seen = seen;
    this.image = h("img", { className: "field-image", alt: "", draggable: false });
    this.map = h("img", { className: "field-map", alt: "", draggable: false, hidden: true });
    this.target = h("span", { className: "field-target", hidden: true });
    this.stage = h("div", { className: "stage" }, this.image, this.map, this.target);
    this.words = h("p", { className: "viewer-words", role: "status" }, "");
    this.bar = h("span", { className: "bar-um viewer-bar", hidden: true }, h("i"), h("small"));
    this.box = h("div", { className: "viewer", tabIndex: 0, role: "application", ariaLabel: "Field: plus and minus zoom, arrows move, 0 shows all" }, this.stage, this.words, this.bar);
    this.pointers = new Map();
    this.tapped = { at: 0, x: 0, y: 0 };
    this.url = "";
    this.field = null;
    this.#listen();
    new ResizeObserver(() => this.#fit()).observe(this.box);
  }

  /** Shows a field; a cell's box may be given, which is gone to. */
  async show(field, cell = null) {
    if (this.field?.image_id === field.image_id && this.image.naturalWidth) {
      if (cell) this.goTo(cell);
      else this.reset();
      return;
    }
    this.field = field;
    this.hasFailed = false;
    this.hideMap();
    this.image.removeAttribute("src");
    this.target.hidden = true;
    if (field.width_px && field.height_px) this.box.style.aspectRatio = `${field.width_px} / ${field.height_px}`;
    if (!field.has_image) return write(this.words, field.is_preview ? "The picture is on its way." : "No picture was archived: it ended on the device.");
    write(this.words, "Loading the field…");
    try {
      const { url, words } = await fetchChecked(field);
      if (this.field !== field) return URL.revokeObjectURL(url);
      URL.revokeObjectURL(this.url);
      this.url = url;
      this.image.alt = `Field ${field.image_id.slice(-6)} at full resolution`;
      this.image.src = url;
      this.image.dataset.sha256 = field.sha256;
      this.image.dataset.checked = words;
      await this.image.decode();
    } catch (error) {
      if (this.field !== field) return;
      this.hasFailed = true;
      write(this.words, error.message || "The field could not be loaded.");
      return;
    }
    write(this.words, "");
    this.box.style.aspectRatio = `${this.image.naturalWidth} / ${this.image.naturalHeight}`;
    this.seen.watch(this.image, `field ${field.image_id}`, { isEnough: true });
    this.#fit();
    if (cell) this.goTo(cell);
    else this.reset();
  }

  /** A field that could not be loaded is asked for again. */
  retry() {
    if (this.hasFailed) this.show(this.field);
  }

  reset() {
    this.target.hidden = true;
    this.#set(1, 0, 0);
  }

  /** Zooms to the square around a cell: [x, y, side] in the picture's pixels. */
  goTo([x, y, side]) {
    const fit = this.fit;
    if (!fit) return;
    const { clientWidth: width, clientHeight: height } = this.box;
    const scale = Math.max(1, Math.min(MOST, (0.5 * Math.min(width, height)) / (side * fit)));
    const [cx, cy] = [(x + side / 2) * fit, (y + side / 2) * fit];
    this.#set(scale, width / 2 - cx * scale, height / 2 - cy * scale);
    for (const [name, value] of [["left", x], ["top", y], ["width", side], ["height", side]]) this.target.style[name] = `${value * fit}px`;
    this.target.hidden = false;
  }

  get isMapShown() {
    return !this.map.hidden;
  }

  /** Lays the map of a class over the field; gives "" or why there is none. */
  async showMap(key) {
    try {
      const response = await fetch(`/api/fields/${this.field.image_id}/map/${encodeURIComponent(key)}`);
      if (!response.ok) return (await response.json().catch(() => ({}))).error ?? "There is no map of this field.";
      const url = URL.createObjectURL(await response.blob());
      this.map.src = url;
      await this.map.decode();
      URL.revokeObjectURL(url);
    } catch {
      return "The map could not be loaded.";
    }
    this.map.hidden = false;
    return "";
  }

  hideMap() {
    this.map.hidden = true;
    this.map.removeAttribute("src");
  }

  zoom(by) {
    const { clientWidth, clientHeight } = this.box;
    this.#zoomAt(clientWidth / 2, clientHeight / 2, by);
  }

  stop() {
    URL.revokeObjectURL(this.url);
  }

  /** CSS pixels per pixel of the picture when all of it shows. */
  get fit() {
    return this.image.naturalWidth ? this.box.clientWidth / this.image.naturalWidth : 0;
  }

  #fit() {
    this.#set(this.scale ?? 1, this.x ?? 0, this.y ?? 0);
  }

  #set(scale, x, y) {
    const { clientWidth: width, clientHeight: height } = this.box;
    this.scale = Math.max(1, Math.min(MOST, scale));
    this.x = Math.min(0, Math.max(width - width * this.scale, x));
    this.y = Math.min(0, Math.max(height - height * this.scale, y));
    this.stage.style.transform = `translate(${this.x}px, ${this.y}px) scale(${this.scale})`;
    this.box.dataset.zoomed = this.scale > 1.01 ? "yes" : "";
    this.target.style.setProperty("--thin", `${2 / this.scale}px`);
    this.#drawBar();
  }

  #drawBar() {
    const um = this.field?.um_per_px;
    const fit = this.fit;
    this.bar.hidden = !um || !fit;
    if (this.bar.hidden) return;
    const shown = (this.box.clientWidth / (fit * this.scale)) * um;
    const length = BARS_UM.find((one) => one <= 0.3 * shown) ?? 1;
    this.bar.style.setProperty("--share", `${(100 * length) / shown}%`);
    write(this.bar.lastChild, `${length} µm`);
  }

  #zoomAt(px, py, by) {
    const scale = Math.max(1, Math.min(MOST, this.scale * by));
    const ratio = scale / this.scale;
    this.#set(scale, px - (px - this.x) * ratio, py - (py - this.y) * ratio);
  }

  #listen() {
    const place = (event) => {
      const { left, top } = this.box.getBoundingClientRect();
      return { x: event.clientX - left, y: event.clientY - top };
    };
    this.box.addEventListener("pointerdown", (event) => {
      this.pointers.set(event.pointerId, place(event));
      if (this.scale > 1.01 || this.pointers.size > 1) this.box.setPointerCapture(event.pointerId);
      this.moved = this.pointers.size > 1;
    });
    this.box.addEventListener("pointermove", (event) => {
      const before = this.pointers.get(event.pointerId);
      if (!before) return;
      const now = place(event);
      const others = [...this.pointers].filter(([id]) => id !== event.pointerId);
      this.pointers.set(event.pointerId, now);
      if (others.length) {
        const other = others[0][1];
        const [was, is] = [before, now].map((one) => Math.hypot(one.x - other.x, one.y - other.y));
        if (was > 0) this.#zoomAt((now.x + other.x) / 2, (now.y + other.y) / 2, is / was);
        this.#set(this.scale, this.x + (now.x - before.x) / 2, this.y + (now.y - before.y) / 2);
      } else {
        if (Math.hypot(now.x - before.x, now.y - before.y) > 2) this.moved = true;
        if (this.scale > 1.01) this.#set(this.scale, this.x + now.x - before.x, this.y + now.y - before.y);
      }
    });
    const up = (event) => {
      if (!this.pointers.delete(event.pointerId) || event.type !== "pointerup" || this.moved || this.pointers.size) return;
      const at = place(event);
      const isDouble = event.timeStamp - this.tapped.at < TAP_MS && Math.hypot(at.x - this.tapped.x, at.y - this.tapped.y) < TAP_PX;
      this.tapped = { at: isDouble ? 0 : event.timeStamp, ...at };
      if (!isDouble) return;
      if (this.scale > 1.01) this.reset();
      else this.#zoomAt(at.x, at.y, 4);
    };
    for (const name of ["pointerup", "pointercancel"]) this.box.addEventListener(name, up);
    this.box.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey && document.activeElement !== this.box) return; // else the page scrolls
      event.preventDefault();
      const { x, y } = place(event);
      this.#zoomAt(x, y, Math.exp(-event.deltaY / 300));
    }, { passive: false });
    this.box.addEventListener("keydown", (event) => {
      const far = 60;
      const keys = { "+": () => this.zoom(STEP), "=": () => this.zoom(STEP), "-": () => this.zoom(1 / STEP), 0: () => this.reset(),
        ArrowLeft: () => this.#set(this.scale, this.x + far, this.y), ArrowRight: () => this.#set(this.scale, this.x - far, this.y),
        ArrowUp: () => this.#set(this.scale, this.x, this.y + far), ArrowDown: () => this.#set(this.scale, this.x, this.y - far) };
      const isArrow = event.key.startsWith("Arrow");
      if (!keys[event.key] || (isArrow && this.scale <= 1.01)) return;
      event.preventDefault();
      event.stopPropagation();
      keys[event.key]();
    });
  }
}

/** The recorded bytes as a picture's address; refuses bytes that are not the recorded ones. */
async function fetchChecked(field) {
  let response;
  try {
    response = await fetch(`/api/fields/${field.image_id}/picture`);
  } catch {
    throw new Error("The field could not be loaded: no answer.");
  }
  if (!response.ok) throw new Error((await response.json().catch(() => ({}))).error ?? "The field could not be loaded.");
  const data = await response.arrayBuffer();
  let words = "not checked in this browser: no HTTPS";
  if (globalThis.crypto?.subtle) {
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
    const hex = [...digest].map((one) => one.toString(16).padStart(2, "0")).join("");
    if (hex !== field.sha256) throw new Error("These bytes are not the recorded ones: not shown.");
    words = "the recorded one";
  }
  return { url: URL.createObjectURL(new Blob([data], { type: response.headers.get("content-type") })), words };
}
