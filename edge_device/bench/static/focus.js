// The focus bar: the newest score against the limit, which stands in the middle; the best of late is held.

const byId = (id) => document.getElementById(id);

/** Where a score stands, in percent: the limit at 50, twice the limit and more at 100. */
function place(score, limit) {
  return Math.max(0, Math.min(100, (50 * score) / limit));
}

export function drawFocus(focus, score) {
  const box = byId("focus");
  const meter = byId("meter");
  const now = focus.history.at(-1);
  const limit = focus.limit;
  if (now === undefined || limit === null || limit <= 0) {
    box.dataset.verdict = "none";
    byId("focus-word").textContent = "Focus not measured";
    byId("focus-score").textContent = now === undefined ? "" : `score ${score(now)}`;
    meter.removeAttribute("aria-valuenow");
    return;
  }
  const isSharp = now >= limit;
  const peak = Math.max(...focus.history);
  box.dataset.verdict = isSharp ? "good" : "refused";
  byId("focus-word").textContent = isSharp ? "✓ In focus" : "✕ Refocus";
  byId("focus-score").textContent = `${score(now)} of ${score(limit)} needed · best ${score(peak)}`;
  meter.setAttribute("aria-valuenow", score(now));
  meter.setAttribute("aria-valuemax", score(2 * limit));
  meter.setAttribute("aria-valuetext", `${score(now)}, at least ${score(limit)} needed`);
  meter.style.setProperty("--now", `${place(now, limit)}%`);
  meter.style.setProperty("--peak", `${place(peak, limit)}%`);
}
