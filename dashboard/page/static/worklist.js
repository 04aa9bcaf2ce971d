// The list of cases: all of them in memory, most urgent first; only the rows in view are elements.
import { byId, h, write } from "./dom.js";
import { age, caseWord, count, kindOf, seen, shape, urgencyWord } from "./words.js";

const ROW_PX = 76;
const SPARE = 8;
const NEW_MS = 6000;

const isRead = (line) => !line.is_open;
const TABS = {
  open: ["To read", (line) => !isRead(line)],
  read: ["Signed", isRead],
};

function before(a, b) {
  return a.rank - b.rank || (a.since < b.since ? -1 : a.since > b.since ? 1 : 0) || (a.key < b.key ? -1 : a.key > b.key ? 1 : 0);
}

export class Worklist {
  constructor(onOpen) {
    this.onOpen = onOpen;
    this.lines = new Map();
    this.order = [];
    this.tab = "open";
    this.selected = "";
    this.fresh = new Map();
    this.rows = new Map();
    this.scroll = byId("scroll");
    this.list = byId("rows");
    this.scroll.addEventListener("scroll", () => this.#soon(), { passive: true });
    new ResizeObserver(() => this.#soon()).observe(this.scroll);
    this.list.addEventListener("click", (event) => {
      const row = event.target.closest("a");
      if (!row || event.metaKey || event.ctrlKey) return;
      event.preventDefault();
      this.onOpen(row.dataset.key);
    });
    for (const tab of document.querySelectorAll("[data-tab]")) tab.onclick = () => this.show(tab.dataset.tab);
    setInterval(() => this.#soon(), 5000); // ages
  }

  /** Forgets everything: a new list comes. */
  clear() {
    this.lines.clear();
    this.order = [];
    this.fresh.clear();
    this.draw();
    this.#counts();
  }

  /** Lines from the server; an older one never replaces a newer one. */
  put(lines, { isNew = false } = {}) {
    const top = this.scroll.scrollTop;
    let above = 0;
    const first = Math.floor(top / ROW_PX);
    if (lines.length > 300) {
      for (const line of lines) if (!this.#isOld(line)) this.lines.set(line.key, line);
      this.#sort();
    } else {
      for (const line of lines) {
        if (this.#isOld(line)) continue;
        const at = this.#remove(line.key);
        if (at >= 0 && at < first) above -= 1;
        this.lines.set(line.key, line);
        if (isNew && at < 0) this.fresh.set(line.key, performance.now());
        if (TABS[this.tab][1](line)) {
          const place = this.#place(line);
          this.order.splice(place, 0, line);
          if (place < first) above += 1;
        }
      }
    }
    this.draw();
    this.#counts();
    if (top > ROW_PX && above) this.scroll.scrollTop = top + above * ROW_PX; // what is read stays where it is
  }

  drop(keys) {
    for (const key of keys) {
      this.#remove(key);
      this.lines.delete(key);
    }
    if (!keys.length) return;
    this.draw();
    this.#counts();
  }

  show(tab) {
    this.tab = tab;
    this.#sort();
    this.scroll.scrollTop = 0;
    this.draw();
    this.#counts();
  }

  /** Whether this case's row can be seen now. */
  isInView(key) {
    const row = this.rows.get(key)?.item.getBoundingClientRect();
    if (!row || !row.height) return false;
    const box = this.scroll.getBoundingClientRect();
    return row.bottom > box.top && row.top < Math.min(box.bottom, innerHeight);
  }

  select(key) {
    this.selected = key;
    this.draw();
  }

  /** The case after (1) or before (-1) the selected one. */
  step(by) {
    const at = this.order.findIndex((line) => line.key === this.selected);
    const next = this.order[Math.max(0, Math.min(this.order.length - 1, at < 0 ? 0 : at + by))];
    if (!next) return "";
    const place = this.order.indexOf(next) * ROW_PX;
    if (place < this.scroll.scrollTop) this.scroll.scrollTop = place;
    else if (place + ROW_PX > this.scroll.scrollTop + this.scroll.clientHeight) this.scroll.scrollTop = place + ROW_PX - this.scroll.clientHeight;
    return next.key;
  }

  draw() {
    const height = `${this.order.length * ROW_PX}px`;
    if (this.list.style.height !== height) this.list.style.height = height;
    const first = Math.max(0, Math.floor(this.scroll.scrollTop / ROW_PX) - SPARE);
    const last = Math.min(this.order.length, Math.ceil((this.scroll.scrollTop + this.scroll.clientHeight) / ROW_PX) + SPARE);
    const wanted = new Set();
    for (let n = first; n < last; n += 1) wanted.add(this.order[n].key);
    for (const [key, row] of this.rows) {
      if (!wanted.has(key)) {
        row.item.remove();
        this.rows.delete(key);
      }
    }
    for (let n = first; n < last; n += 1) this.#row(this.order[n], n);
  }

  #row(line, n) {
    let row = this.rows.get(line.key);
    if (!row || row.line !== line) {
      const made = this.#make(line);
      if (row) row.item.replaceWith(made.item);
      else this.list.append(made.item);
      this.rows.set(line.key, (row = made));
    }
    row.item.style.transform = `translateY(${n * ROW_PX}px)`;
    row.item.setAttribute("aria-posinset", n + 1);
    row.item.setAttribute("aria-setsize", this.order.length);
    row.link.setAttribute("aria-current", line.key === this.selected ? "true" : "false");
    const since = this.fresh.get(line.key);
    const isFresh = since !== undefined && performance.now() - since < NEW_MS;
    if (since !== undefined && !isFresh) this.fresh.delete(line.key);
    row.item.dataset.fresh = isFresh ? "yes" : "";
    write(row.age, age(line.since));
  }

  #make(line) {
    const kind = kindOf(line);
    const time = h("span", { className: "row-age" });
    const words = [line.fields ? seen(line.white_cells, line.fields) : line.previews ? `preview of ${count(line.previews, "field")}` : "", line.retakes ? `${count(line.retakes, "field")} to take again` : "", line.referred ? "referred" : "", line.retake === "asked" ? "retake asked" : "", line.new_fields ? `${line.new_fields} new` : "", line.device];
    const result = line.signed_as ? `signed: ${line.signed_as}` : line.result;
    const link = h(
      "a",
      { className: "row", href: `/case/${encodeURIComponent(line.key)}`, data: { key: line.key, kind, read: line.is_open ? "" : "yes", unread: line.is_unread ? "yes" : "" } },
      shape(kind),
      h(
        "span",
        { className: "row-words" },
        h("span", { className: "row-first" }, h("b", { className: "row-id" }, caseWord(line)), time),
        h("span", { className: "row-second" }, line.signed_as ? result : h("b", {}, urgencyWord(kind)), !line.signed_as && result ? ` ${result}` : ""),
        h("span", { className: "row-third" }, words.filter(Boolean).join(" · ")),
      ),
    );
    return { line, item: h("li", { className: "row-place" }, link), link, age: time };
  }

  #counts() {
    let open = 0;
    for (const line of this.lines.values()) if (!isRead(line)) open += 1;
    const counts = { open, read: this.lines.size - open };
    for (const tab of document.querySelectorAll("[data-tab]")) {
      write(tab, `${TABS[tab.dataset.tab][0]} ${counts[tab.dataset.tab]}`);
      tab.setAttribute("aria-pressed", tab.dataset.tab === this.tab ? "true" : "false");
    }
    byId("empty").hidden = this.order.length > 0;
    const urgent = this.tab === "open" ? this.order.findIndex((line) => line.rank > 1) : -1;
    const acute = urgent < 0 ? (this.tab === "open" ? this.order.length : 0) : urgent;
    document.title = acute ? `(${acute}) Cases` : "Cases";
    write(byId("list-words"), this.tab === "open" && acute ? `${count(acute, "case")} with acute leukemia suspected` : "");
  }

  #isOld(line) {
    const known = this.lines.get(line.key);
    return known !== undefined && known.event_id > line.event_id;
  }

  #sort() {
    this.order = [...this.lines.values()].filter(TABS[this.tab][1]).sort(before);
  }

  #place(line) {
    let [low, high] = [0, this.order.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (before(this.order[middle], line) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #remove(key) {
    const known = this.lines.get(key);
    if (!known) return -1;
    const at = this.#place(known);
    if (this.order[at]?.key !== key) return -2;
    this.order.splice(at, 1);
    return at;
  }

  #soon() {
    if (this.isPlanned) return;
    this.isPlanned = true;
    requestAnimationFrame(() => {
      this.isPlanned = false;
      this.draw();
    });
  }
}
