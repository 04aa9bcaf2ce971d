// White cells in the picture's own pixels, six to a page on a phone, swiped; every crop has the same scale bar.
import { h, write } from "./dom.js";

const READY_PAGES = 2;

/** Calls `onPick(cell)` where a crop is touched. */
export function crops(view, seen, onPick) {
  const { cells } = view;
  const perPage = matchMedia("(min-width: 600px)").matches ? 12 : 6;
  const pages = [];
  for (let start = 0; start < cells.length; start += perPage) pages.push(cells.slice(start, start + perPage));
  const track = h("div", { className: "crops-track", tabIndex: 0, role: "group", ariaLabel: "White cells, most suspicious first" });
  const where = h("span", { className: "crops-where" });
  const back = h("button", { type: "button", className: "round", ariaLabel: "Cells before" }, "‹");
  const on = h("button", { type: "button", className: "round", ariaLabel: "More cells" }, "›");
  const made = pages.map((page, n) => {
    const grid = h("div", { className: "crops-page" });
    page.forEach((cell, k) => grid.append(tile(cell, n * perPage + k)));
    track.append(grid);
    return grid;
  });

  function tile(cell, n) {
    const image = h("img", { className: "crop-image", alt: `White cell ${n + 1} of ${cells.length}`, width: 108, height: 108, decoding: "async", draggable: false });
    image.dataset.src = `/api/fields/${cell.image_id}/cell?x=${cell.x}&y=${cell.y}&side=${cell.side}`;
    const box = h("button", { type: "button", className: "crop", onclick: () => onPick(cell) }, image, h("span", { className: "crop-number" }, String(n + 1)));
    if (cell.bar_um !== null) {
      const bar = h("span", { className: "bar-um", ariaLabel: `Scale bar ${cell.bar_um} micrometres` }, h("i"), h("small", {}, `${cell.bar_um} µm`));
      bar.style.setProperty("--share", `${cell.bar_share * 100}%`);
      box.append(bar);
    }
    image.onerror = () => {
      box.dataset.failed = "yes";
      box.title = "This crop could not be loaded yet";
    };
    image.onload = () => {
      delete box.dataset.failed;
      box.title = "";
    };
    seen.watch(image, `cell ${n}`, { isNeeded: n < perPage });
    return box;
  }

  const load = (page) => {
    for (const image of made[page]?.querySelectorAll("img:not([src])") ?? []) image.src = image.dataset.src;
  };
  const current = () => Math.round(track.scrollLeft / Math.max(1, track.clientWidth));
  const draw = () => {
    const page = current();
    for (let n = page; n < page + READY_PAGES; n += 1) load(n);
    const from = page * perPage + 1;
    write(where, `${from}–${Math.min(cells.length, from + perPage - 1)} of ${cells.length}`);
    back.disabled = page === 0;
    on.disabled = page >= pages.length - 1;
  };
  const turn = (by) => track.scrollTo({ left: (current() + by) * track.clientWidth, behavior: "smooth" });
  back.onclick = () => turn(-1);
  on.onclick = () => turn(1);
  track.addEventListener("scroll", () => requestAnimationFrame(draw), { passive: true });
  track.addEventListener("keydown", (event) => {
    if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
      event.preventDefault();
      event.stopPropagation();
      turn(event.key === "ArrowRight" ? 1 : -1);
    }
  });
  load(0);
  new ResizeObserver(draw).observe(track);
  const controls = h("div", { className: "crops-controls", hidden: pages.length < 2 }, back, where, on);
  return { track, controls, turn };
}
