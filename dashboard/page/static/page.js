// The page: list and case side by side or one after the other, kept current by the feed; it knows nothing by itself.
// (Over 250 lines: where we are, what is shown and what keys do change together.)
import { CasePane } from "./case.js";
import { isOpen, open, shut } from "./dialogs.js";
import { byId, h, write } from "./dom.js";
import { leaveFigures, showFigures } from "./figures.js";
import { canInstall, forgetKept, installNow, keepOffline } from "./offline.js";
import { canNotify, isNotified, notifyMe, notifyMeNot } from "./notify.js";
import { leaveRetakes, showRetakes } from "./retakes.js";
import { Feed, ask, setToken, wish } from "./server.js";
import { tellShown } from "./shown.js";
import { setMe } from "./signing.js";
import { caseWord, clock, urgencyWord, kindOf } from "./words.js";
import { Worklist } from "./worklist.js";

const FIRST = 100;
const REST = 500;
/** Who sees only what is to be taken again has no feed: the list is asked for again. */
const WITHOUT_FEED_MS = 10000;
/** A list that came from what was kept here is asked for again, without end. */
const KEPT_MS = 5000;
const BLIND = "hemowire.read-first";

let me = null;
let life = "connecting";
let kept = "";
let loading = 0;
let isKeeping = false;
let isTold = false;
let whoAmI = null;

const isBlind = () => me?.reads_before_ai || remembered(BLIND) === "1";
const isOffline = () => life === "lost";

function remembered(name) {
  try {
    return localStorage.getItem(name) ?? "";
  } catch {
    return "";
  }
}

function remember(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {
    // as long as the page is open, the default holds
  }
}

const list = new Worklist((key) => go(key));
const pane = new CasePane({ onBack: backToList, isOffline, more: menu });
const feed = new Feed({ onChanges: take, onGap: () => load(), onLife: (now) => setLife(now) });

// --- the list -----------------------------------------------------------------------------------

/** The list anew: the first lines at once, the rest behind them; changes meanwhile come by the feed. */
async function load() {
  const turn = (loading += 1);
  const blind = isBlind() ? "&blind=1" : "";
  try {
    const first = await ask(`/api/worklist?offset=0&limit=${FIRST}${blind}`);
    if (turn !== loading) return;
    const isSame = first.kept && first.kept === kept;
    kept = first.kept;
    if (kept) setTimeout(() => turn === loading && load(), KEPT_MS);
    if (isSame) return;
    list.clear();
    list.put(first.body.lines);
    document.body.dataset.ready = "yes";
    drawLife();
    const { body: who } = await whoAmI;
    if (who.may_see && !kept) feed.follow(first.body.store_id, first.body.event_id, blind);
    if (!who.may_see) {
      life = "alive";
      setTimeout(load, WITHOUT_FEED_MS);
    }
    for (let offset = FIRST; offset < first.body.total; offset += REST) {
      const more = await ask(`/api/worklist?offset=${offset}&limit=${REST}${blind}`);
      if (turn !== loading) return;
      list.put(more.body.lines);
    }
    document.body.dataset.whole = "yes";
  } catch (error) {
    if (error.status === 403) {
      setLife("alive");
      document.body.dataset.ready = "yes";
      return write(byId("empty"), error.message);
    }
    setLife("lost");
    if (turn === loading) setTimeout(() => turn === loading && load(), 3000);
    document.body.dataset.ready = "yes";
  }
}

function take({ lines, gone, upto, sent_ns }, came) {
  list.put(lines, { isNew: true });
  list.drop(gone);
  if (me?.is_traced) tellShown(list, lines, { upto, sent_ns, came_ms: came });
  for (const line of lines) {
    if (line.key === pane.key && line.event_id !== pane.view?.line.event_id) pane.reload();
    else if (line.rank <= 1 && line.is_open && line.is_unread && line.key !== pane.key) write(byId("announce"), `${urgencyWord(kindOf(line)).toLowerCase()}: ${caseWord(line)}`);
  }
}

function setLife(now) {
  if (life === now) return void (now === "alive" && pane.retry());
  const was = life;
  life = now;
  drawLife();
  pane.drawActions();
  if (now === "alive" && (was === "lost" || kept)) {
    if (kept || feed.last === null) load();
    pane.reload();
  }
}

function drawLife() {
  document.body.dataset.life = life;
  const notice = byId("notice");
  const words = life === "lost" || kept ? `Offline. ${kept ? `Shown is what was kept here at ${clock(kept)}` : "Shown is what had been loaded"}; nothing can be signed until the server answers.` : "";
  notice.hidden = !words;
  write(notice, words);
}

// --- where we are -------------------------------------------------------------------------------

function keyOfPlace() {
  const found = location.pathname.match(/^\/case\/([^/]+)$/);
  return found ? decodeURIComponent(found[1]) : "";
}

const FIGURES = "/figures";

function goToFigures() {
  shut();
  if (location.pathname !== FIGURES) history.pushState({ fromList: true }, "", FIGURES);
  follow();
}

function backToList() {
  if (history.state?.fromList) history.back();
  else go("");
}

function go(key, { replace = false } = {}) {
  const path = key ? `/case/${encodeURIComponent(key)}` : "/";
  const state = { fromList: Boolean(key) && !pane.key };
  if (location.pathname !== path) history[replace || (key && pane.key) ? "replaceState" : "pushState"](replace ? null : pane.key ? history.state : state, "", path);
  follow();
}

function follow() {
  const key = keyOfPlace();
  if (!me) return;
  const isOnlyFigures = !me.may_see && !me.may_see_retakes && me.may_see_figures;
  const isFigures = isOnlyFigures || location.pathname === FIGURES;
  document.body.dataset.view = key || isFigures ? "case" : "list";
  document.body.dataset.only = isOnlyFigures ? "figures" : "";
  list.select(key);
  leaveFigures();
  leaveRetakes();
  if (isFigures || !key || !me.may_see) pane.close();
  if (isFigures) showFigures(isOnlyFigures ? { menu: openMenu } : { back: backToList });
  else if (key && !me.may_see) showRetakes(key, list.lines.get(key), backToList);
  else if (key && key !== pane.key) pane.show(key, { me, isBlind: isBlind() });
}

addEventListener("popstate", follow);

// --- menu and keys ------------------------------------------------------------------------------

function menu() {
  return [
    h("button", { type: "button", ariaPressed: String(isBlind()), disabled: Boolean(me?.reads_before_ai), onclick: toggleBlind }, `Read before AI: ${me?.reads_before_ai ? "always, for this account" : isBlind() ? "on" : "off"}`),
    me?.may_see_figures ? h("button", { type: "button", onclick: goToFigures }, "How the AI is doing") : null,
    canNotify(me) ? h("button", { type: "button", ariaPressed: String(isTold), onclick: toggleNotified }, `Notify me of urgent cases: ${isTold ? "on" : "off"}`) : null,
    canInstall() ? h("button", { type: "button", onclick: installNow }, "Install this page") : null,
    h("button", { type: "button", onclick: keysHelp }, "Keys"),
    h("button", { type: "button", onclick: leave }, `Sign out ${me?.name ?? ""}`),
    h("p", { className: "quiet" }, isKeeping ? "Cases you open are kept on this device until you sign out, so that they can be looked at offline." : `Nothing is kept for offline use and there are no notifications: ${globalThis.isSecureContext ? "this browser does not trust the server's certificate or keeps nothing" : "this page came without HTTPS"}. The list is live all the same.`),
  ];
}

function toggleBlind() {
  remember(BLIND, isBlind() ? "" : "1");
  location.reload();
}

async function toggleNotified() {
  shut();
  const problem = isTold ? await notifyMeNot() : await notifyMe(me);
  isTold = await isNotified(me);
  open(isTold ? "You will be notified" : "No notifications", [h("p", {}, problem || (isTold ? "Of urgent cases, once each, and again if nobody opens one. The notification does not say which case it is." : "This browser gets none."))], [], { closeWord: "Close" });
}

async function leave() {
  if (isTold) await notifyMeNot();
  await wish("/logout");
  await forgetKept();
  location.replace("/login");
}

const KEYS = [["↓ ↑ or j k", "next case, case before"], ["Enter", "open"], ["Esc", "back to the list"], ["c", "confirm"], ["x", "correct or amend"], ["o", "more"], ["+ − 0 and arrows", "in the field: zoom, all of it, move"], ["?", "these keys"]];

function keysHelp() {
  open("Keys", [h("dl", { className: "facts keys" }, ...KEYS.map(([key, what]) => h("div", {}, h("dt", {}, key), h("dd", {}, what))))], [], { closeWord: "Close" });
}

document.addEventListener("keydown", (event) => {
  if (isOpen() || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest?.("input, textarea, select")) return;
  const isWide = matchMedia("(min-width: 900px)").matches;
  const move = (by) => {
    const key = list.step(by);
    if (!key) return;
    if (isWide || pane.key) go(key);
    else list.select(key);
  };
  const keys = {
    ArrowDown: () => move(1), j: () => move(1), ArrowUp: () => move(-1), k: () => move(-1),
    Enter: () => !event.target.closest?.("button, a") && list.selected && go(list.selected),
    Escape: () => pane.key && go(""), c: () => pane.press("confirm"), x: () => pane.press("correct"), o: () => pane.press("more"), "?": keysHelp,
  };
  if (!keys[event.key]) return;
  if (event.key === "Enter" && event.target.closest?.("button, a")) return;
  event.preventDefault();
  keys[event.key]();
});

const openMenu = () => open("hemowire", [h("div", { className: "menu" }, ...menu().filter(Boolean))], [], { closeWord: "Close" });
byId("menu").onclick = openMenu;

// --- begin --------------------------------------------------------------------------------------

async function begin() {
  whoAmI = ask("/api/me");
  whoAmI.catch(() => {}); // said below
  const first = load();
  try {
    const { body } = await whoAmI;
    me = body;
    setMe(me);
    setToken(me.token);
    write(byId("research"), me.research_use_only);
  } catch (error) {
    setLife("lost");
    await new Promise((done) => setTimeout(done, 3000));
    return begin();
  }
  follow();
  await first;
  isKeeping = await keepOffline();
  if (isKeeping) isTold = await isNotified(me);
}

begin();
