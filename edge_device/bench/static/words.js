// Numbers and states as people read them; the same words as on the terminal. Touches no page.

export const STATES = {
  waiting: "queued",
  sending: "sending",
  stored: "sent",
  recorded: "recorded",
  rejected: "not sent",
  quarantined: "damaged",
};

/** How far an image has come, of three steps: queued, sent, recorded. */
export const STEPS = { waiting: 1, sending: 1, stored: 2, recorded: 3, rejected: 0, quarantined: 0 };

/** "4 s", "3 min", "2 h 05", "6 d"; a device may not know the time, so it is always an age. */
export function age(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min`;
  if (whole < 86400) {
    return `${Math.floor(whole / 3600)} h ${String(Math.floor((whole % 3600) / 60)).padStart(2, "0")}`;
  }
  return `${Math.floor(whole / 86400)} d`;
}

/** Minutes and seconds until something happens: "4:05". */
export function countdown(seconds) {
  const whole = Math.max(0, Math.ceil(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

export function bytes(count) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let power = 0;
  let value = count;
  while (value >= 1000 && power < units.length - 1) {
    value /= 1000;
    power += 1;
  }
  return `${value >= 100 || power === 0 ? Math.round(value) : value.toFixed(1)} ${units[power]}`;
}

export function score(value) {
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2).replace(/\.?0+$/, "");
}

export function count(number, one, many = `${one}s`) {
  return `${number} ${number === 1 ? one : many}`;
}

/** A name of the code as words: "white_level" is "white level". */
export function plain(name) {
  return name.replaceAll("_", " ").replace(/ percent$/, " %").replace(/\bum2\b/, "µm²").replace(/\bum\b/, "µm");
}

const MARKS = { good: "✓", warned: "▲", refused: "✕" };

/** What became of a capture: kind (good, warned, refused), its shape and its word. */
export function verdictOf(capture) {
  return { kind: capture.judged, mark: MARKS[capture.judged], word: capture.word };
}
