// The focus bar. Against a limit: the limit stands in the middle, the best of late is held. Without one
// (scores of a preview are not those of a capture): against the best of late, to turn the knob by.

const byId = (id) => document.getElementById(id);
const AT_ITS_BEST = 0.92;

/** Where a score stands, in percent: the limit at 50, twice the limit and more at 100. */
function place(score, limit) {
  return Math.max(0, Math.min(100, (50 * score) / limit));
}

function draw(verdict, word, facts, now, peak) {
  byId("focus").dataset.verdict = verdict;
  for (const [id, text] of [["focus-word", word], ["focus-score", facts]]) {
    if (byId(id).textContent !== text) byId(id).textContent = text;
  }
  const meter = byId("meter");
  meter.style.setProperty("--now", `${now}%`);
  meter.style.setProperty("--peak", `${peak}%`);
  meter.setAttribute("aria-valuemax", "100");
  meter.setAttribute("aria-valuenow", Math.round(now));
  meter.setAttribute("aria-valuetext", `${word}: ${facts}`);
}

export function drawFocus({ history, limit }, score) {
  const now = history.at(-1);
  if (now === undefined) return draw("none", "Focus not measured", "", 0, 0);
  const peak = Math.max(...history);
  if (limit !== null && limit > 0) {
    const isSharp = now >= limit;
    return draw(
      isSharp ? "good" : "refused",
      isSharp ? "✓ In focus" : "✕ Refocus",
      `${score(now)} of ${score(limit)} needed · best ${score(peak)}`,
      place(now, limit),
      place(peak, limit),
    );
  }
  if (peak <= 0) return draw("none", "Focus not measured", "score 0", 0, 0);
  const share = now / peak;
  const isBest = share >= AT_ITS_BEST;
  return draw(
    isBest ? "good" : "warned",
    isBest ? "✓ At its best" : "▲ Turn back",
    `${score(now)} · ${Math.round(100 * share)} % of best`,
    92 * share,
    92,
  );
}
