// Talks to the server that gave out this page: questions, wishes, and the feed of changes without gaps.
import { setNow } from "./words.js";

const SILENCE_MS = 13000; // the server speaks at least every 5 s
let token = "";

export class Refused extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** The JSON of an address; `kept` is when it was kept for offline use, "" where it is from the server now. */
export async function ask(path) {
  let response;
  try {
    response = await fetch(path, { headers: { Accept: "application/json" } });
  } catch {
    throw new Refused("The server does not answer.", 0);
  }
  if (response.status === 401) location.replace("/login");
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refused(body.error ?? `The server answered ${response.status}.`, response.status);
  const kept = response.headers.get("x-hemowire-kept") ?? "";
  if (body.now && !kept) setNow(body.now);
  return { body, kept };
}

export function setToken(text) {
  token = text;
}

async function post(path, body) {
  const response = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Hemowire-Token": token },
    body: JSON.stringify(body),
  });
  if (response.status === 401) location.replace("/login");
  return response;
}

/** Has the server do something; "" or what went wrong comes back as `error`. */
export async function wish(path, body = {}) {
  try {
    const response = await post(path, body);
    const answer = await response.json().catch(() => ({}));
    return response.ok ? { ...answer, error: "" } : { error: answer.error ?? `The server answered ${response.status}.` };
  } catch {
    return { error: "The server does not answer: whether it was done is not known. Load the case again." };
  }
}

/** Has the server make a file; `file` or what went wrong. */
export async function take(path, body) {
  try {
    const response = await post(path, body);
    if (!response.ok) return { error: (await response.json().catch(() => ({}))).error ?? `The server answered ${response.status}.` };
    const name = response.headers.get("content-disposition")?.match(/filename="([^"]+)"/)?.[1] ?? "report";
    return { file: new File([await response.blob()], name, { type: response.headers.get("content-type") ?? "" }), error: "" };
  } catch {
    return { error: "The server does not answer." };
  }
}

/** Follows the changes after `after`; `onGap` where the list must be asked for again. */
export class Feed {
  constructor({ onChanges, onGap, onLife }) {
    Object.assign(this, { onChanges, onGap, onLife });
    this.source = null;
    this.last = null;
    this.query = "";
    this.heard = performance.now();
    setInterval(() => this.#look(), 1000);
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden && this.last !== null) this.#open();
    });
    addEventListener("online", () => this.last !== null && this.#open());
    addEventListener("offline", () => this.onLife("lost"));
    // A page that the browser keeps for "back" would hold its connection, and a browser has few for each server.
    addEventListener("pagehide", () => this.source?.close());
    addEventListener("pageshow", (event) => event.persisted && this.last !== null && this.#open());
  }

  /** From this change on. */
  follow(storeId, eventId, query = "") {
    Object.assign(this, { storeId, last: eventId, query });
    this.#open();
  }

  #open() {
    this.source?.close();
    const source = new EventSource(`/api/events?after=${this.storeId}.${this.last}${this.query}`);
    this.source = source;
    const hear = (name, then) =>
      source.addEventListener(name, (event) => {
        if (source !== this.source) return;
        const came = performance.now();
        this.heard = came;
        this.onLife("alive");
        then(JSON.parse(event.data), came);
      });
    hear("changes", (told, came) => {
      if (told.upto <= this.last) return; // known already
      if (told.after > this.last) return this.onGap();
      this.last = told.upto;
      this.onChanges(told, came);
    });
    hear("reset", () => this.onGap());
    hear("alive", (told) => setNow(told.now));
    source.onopen = () => {
      this.heard = performance.now();
      this.onLife("alive");
    };
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) this.onLife("lost");
      else setTimeout(() => source === this.source && source.readyState !== EventSource.OPEN && this.onLife("lost"), 1500);
    };
  }

  #look() {
    if (document.hidden || this.last === null) return;
    const isSilent = performance.now() - this.heard > SILENCE_MS;
    if (isSilent) this.onLife("lost");
    if (this.source?.readyState === EventSource.CLOSED || isSilent) {
      this.heard = performance.now() - SILENCE_MS + 3000; // again in 3 s
      ask("/api/me").catch(() => {}); // goes to the sign-in page where that is why
      this.#open();
    }
  }
}
