// Keeps the page itself and what the reader has loaded, for a time without a network; it signs nothing and sends
// nothing by itself. What it gives out when the server is away carries the time when it was kept.
const VERSION = "__VERSION__";
const SHELL = `shell-${VERSION}`;
const DATA = "kept-data";
const PICTURES = "kept-pictures";
const FILES = ["/", "/page.css", __FILES__];
const MOST = { [DATA]: 120, [PICTURES]: 600 };
const PATIENCE_MS = 4000;

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(SHELL).then((cache) => cache.addAll(FILES)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  const isOld = (name) => name.startsWith("shell-") && name !== SHELL;
  event.waitUntil(caches.keys().then((names) => Promise.all(names.filter(isOld).map((name) => caches.delete(name)))).then(() => self.clients.claim()));
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== location.origin) return;
  if (url.pathname === "/api/events" || url.pathname === "/login" || url.pathname === "/enter") return;
  if (request.mode === "navigate") event.respondWith(page(request));
  else if (/^\/api\/fields\/[0-9a-f]{32}\/(cell|picture|small|map\/[a-z0-9]+)$/.test(url.pathname)) event.respondWith(picture(request));
  else if (url.pathname.startsWith("/api/")) event.respondWith(data(event));
  else if (FILES.includes(url.pathname)) event.respondWith(shell(request));
});

const WHY = { emergency: "Emergency", urgent: "Urgent case", unread: "Urgent case, still unread" };

self.addEventListener("push", (event) => {
  let told = {};
  try {
    told = event.data?.json() ?? {};
  } catch {
    // a message that is none of ours is shown as an urgent case: it is better to look
  }
  const count = Number.isInteger(told.count) && told.count > 1 ? `${told.count} cases. ` : "";
  event.waitUntil(self.registration.showNotification(WHY[told.why] ?? WHY.urgent, {
    body: `${count}Open the list to see it. Research use only.`,
    tag: String(told.id ?? "urgent").slice(0, 32),
    icon: "/icon-192.png",
    requireInteraction: told.why === "emergency",
  }));
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(self.clients.matchAll({ type: "window" }).then((open) => (open[0] ? open[0].focus() : self.clients.openWindow("/"))));
});

async function page(request) {
  return soonest(fetch(request), async () => (await caches.open(SHELL)).match("/"));
}

async function shell(request) {
  const kept = await (await caches.open(SHELL)).match(new URL(request.url).pathname);
  return kept ?? fetch(request);
}

async function picture(request) {
  const cache = await caches.open(PICTURES);
  const kept = await cache.match(request);
  if (kept) return kept;
  const answer = await fetch(request);
  if (answer.ok) {
    await cache.put(request, answer.clone());
    trim(cache, MOST[PICTURES]);
  }
  return answer;
}

async function data(event) {
  const { request } = event;
  const cache = await caches.open(DATA);
  const asked = fetch(request).then((answer) => keep(cache, request, answer));
  event.waitUntil(asked.catch(() => {})); // an answer that comes too late is kept all the same
  return soonest(asked, () => cache.match(request));
}

async function keep(cache, request, answer) {
  if (answer.ok) {
    const headers = new Headers(answer.headers);
    headers.set("x-hemowire-kept", new Date().toISOString());
    headers.delete("content-encoding");
    const body = await answer.clone().arrayBuffer();
    await cache.put(request, new Response(body, { status: 200, headers }));
    trim(cache, MOST[DATA]);
  } else if (answer.status === 401) {
    await cache.delete(request);
  }
  return answer;
}

/** The server's answer; where it fails or takes long, what was kept; where nothing was, the server's, however late. */
async function soonest(asked, findKept) {
  const late = new Promise((done) => setTimeout(() => done(null), PATIENCE_MS));
  const answer = await Promise.race([asked, late]).catch(() => null);
  return answer ?? (await findKept()) ?? asked;
}

async function trim(cache, most) {
  const keys = await cache.keys();
  for (const key of keys.slice(0, Math.max(0, keys.length - most))) await cache.delete(key);
}
