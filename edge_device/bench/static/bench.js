// The page at the microscope: draws the state of the device and passes wishes on; it knows nothing by itself. One
// file, since all of it redraws from the same state: parts that stand alone are modules beside it.
import { caseField, caseWord, checkCase, drawStrip, showCapture } from "./captures.js";
import { follow, showPreview } from "./device.js";
import { confirm, h, isOpen, open } from "./dialogs.js";
import { drawFocus } from "./focus.js";
import { askOperator, named, operator, wish } from "./operator.js";
import { askCalibrate, askQuality, showReport } from "./tools.js";
import { STATES, age, bytes, count, countdown, score, verdictOf } from "./words.js";

const byId = (id) => document.getElementById(id);
let state = null;
let cameAt = 0;
let life = "connecting";
let isTaking = false;

/** Seconds since the shown state was true. */
const since = () => (performance.now() - cameAt) / 1000;

/** Changes text only where it differs: screen readers are told of changes, not of redraws. */
function write(id, text) {
  const element = byId(id);
  if (element.textContent !== text) element.textContent = text;
}

function draw() {
  document.body.dataset.life = life;
  if (!state) return;
  drawBar();
  drawCase();
  drawAlarm();
  drawView();
  drawVerdict();
  drawShoot();
  drawStrip(state);
  drawFacts();
}

function drawBar() {
  write("device-name", `${state.device} · ${state.site}`);
  write("research", state.research_use_only);
  write("queue-chip", state.queue.images ? `${state.queue.images} waiting` : "all recorded");
  write("link-chip", state.link.state);
  byId("queue-chip").dataset.level = state.queue.images ? "some" : "";
  byId("link-chip").dataset.level = state.link.state === "online" ? "good" : "warn";
  document.title = `${caseWord(state.case.case_id)} · ${state.device}`;
}

function drawCase() {
  const { case_id: id, fields, closes_in_s: closes } = state.case;
  byId("case").dataset.open = id ? "yes" : "no";
  write("case-word", id ? "Case" : "No case open");
  write("case-id", id ?? "UNFILED");
  fitCase(id ?? "UNFILED");
  const facts = byId("case-facts");
  const left = closes === null ? null : Math.max(0, closes - since());
  const short = left !== null && left < 300;
  const isOpened = state.case.opened_s_ago !== null; // else the settings' own case stands in
  write("case-fields", !id ? "Captures now would belong to no case." : isOpened ? count(fields, "field") : "as the settings say");
  write("case-closes", id && left !== null ? `closes in ${short ? countdown(left) : age(left)}` : "");
  facts.dataset.short = short ? "yes" : "";
  show("open-case", true, id ? "Next case…" : "Open case…");
  byId("open-case").classList.toggle("first", !id);
  show("close-case", Boolean(id) && isOpened);
}

let fitted = "";
const ruler = document.createElement("canvas").getContext("2d");

/** Tells the style how wide an id is, in em, so that any of them is as large as its place allows. */
function fitCase(id) {
  if (id === fitted) return;
  fitted = id;
  ruler.font = `800 100px ${getComputedStyle(byId("case-id")).fontFamily}`;
  const wide = ruler.measureText(id).width / 100 + 0.03 * id.length;
  byId("case-id").style.setProperty("--wide", wide.toFixed(2));
  byId("case").dataset.long = wide > 7.2 ? "yes" : "no";
}

/** The worst thing that is wrong, in words; the rest stands under Device. */
function alarms() {
  const found = [];
  if (life === "lost") found.push(["bad", "The device does not answer. Nothing on this page is current."]);
  if (state.camera.trouble) found.push(["bad", `Camera: ${state.camera.trouble}`]);
  if (state.halted && !state.paused) found.push(["bad", `No captures: ${state.halted}`]);
  if (state.paused) found.push(["warn", "Paused: no picture is taken until somebody resumes."]);
  if (state.case.notice) found.push(["warn", state.case.notice]);
  if (state.link.state === "offline") {
    const kept = state.queue.images ? ` ${count(state.queue.images, "image")} kept here until it is back.` : " Captures are kept here until it is back.";
    found.push(["warn", `Offline${state.link.words ? `: ${state.link.words}` : ""}.${kept}`]);
  }
  if (!state.link.clock_synced) found.push(["warn", "The clock is not set yet: capture times are corrected later."]);
  return found;
}

function drawAlarm() {
  const found = alarms();
  byId("alarm").hidden = found.length === 0;
  if (!found.length) return write("alarm", "");
  byId("alarm").dataset.level = found[0][0];
  write("alarm", found[0][1] + (found.length > 1 ? ` (+${found.length - 1} more under Device)` : ""));
}

function drawView() {
  const image = byId("preview");
  if (!state.camera.is_live) {
    const last = state.captures.find((capture) => capture.has_picture);
    const src = last ? `/captures/${last.image_id}.jpg` : "";
    if (last && image.getAttribute("src") !== src) image.src = src;
    image.alt = last ? `Capture ${last.seq}` : "";
    image.hidden = !last;
    write("preview-word", last ? "last capture" : "no live picture from this camera");
  }
  byId("focus").dataset.limit = state.focus.limit === null ? "no" : "yes";
  drawFocus(state.focus, score);
}

function drawVerdict() {
  const box = byId("verdict");
  const last = state.captures[0];
  const more = byId("verdict-more");
  more.hidden = !last || !(last.can_send_anyway || last.warnings.length);
  if (!last) {
    box.dataset.verdict = "none";
    write("verdict-word", "Nothing taken yet");
    return;
  }
  const verdict = verdictOf(last);
  box.dataset.verdict = verdict.kind;
  write("verdict-mark", verdict.mark);
  write("verdict-word", verdict.word);
  write("verdict-text", [last.verdict, ...last.warnings].filter(Boolean).join(" "));
  const facts = byId("verdict-facts");
  const parts = [STATES[last.state], `${age(last.taken_s_ago + since())} ago`];
  if (last.case_id !== state.case.case_id) parts.unshift(caseWord(last.case_id));
  if (last.priority === "stat") parts.push("STAT");
  facts.textContent = parts.join(" · ");
  const picture = byId("verdict-picture");
  const src = `/captures/${last.image_id}.jpg`;
  if (last.has_picture && picture.getAttribute("src") !== src) picture.src = src;
  picture.hidden = !last.has_picture;
  more.textContent = last.can_send_anyway ? "What now…" : "Details…";
  more.onclick = () => showCapture(last, state);
}

function drawShoot() {
  const stops = life === "lost" || state.paused || state.halted || state.camera.trouble;
  byId("capture").disabled = Boolean(stops) || isTaking;
  write("capture-word", isTaking ? "Taking…" : state.paused ? "Paused" : "Capture");
  write("pause", state.paused ? "Resume" : "Pause");
  byId("pause").dataset.action = state.paused ? "resume" : "pause";
  byId("pause").classList.toggle("first", state.paused);
  for (const element of document.querySelectorAll("[data-action]")) {
    element.classList.toggle("unknown", !state.actions.includes(element.dataset.action));
  }
}

function show(id, isShown, words = "") {
  byId(id).hidden = !isShown;
  if (words) write(id, words);
}

function drawFacts() {
  const { queue, computer, link, versions, camera } = state;
  const low = computer.disk_free_bytes !== null && computer.disk_min_free_bytes !== null && computer.disk_free_bytes < 2 * computer.disk_min_free_bytes;
  const hot = computer.temperature_c !== null && computer.temperature_c >= 75;
  const join = (...words) => words.filter(Boolean).join(", ");
  const rows = [
    ["link", join(link.state, link.words, link.rate_bytes_per_s === null ? "" : `${bytes(link.rate_bytes_per_s)}/s`), link.state === "online" ? "" : "warn"],
    ["waiting", queue.images ? join(count(queue.images, "image"), bytes(queue.size_bytes), queue.oldest_s_ago === null ? "" : `oldest ${age(queue.oldest_s_ago + since())}`) : "nothing", ""],
    ["disk free", computer.disk_free_bytes === null ? "" : bytes(computer.disk_free_bytes), low ? "warn" : ""],
    ["memory", computer.memory_bytes === null ? "" : bytes(computer.memory_bytes), ""],
    ["temperature", computer.temperature_c === null ? "" : `${computer.temperature_c.toFixed(0)} °C`, hot ? "warn" : ""],
    ["clock", clockWords(link), link.clock_synced ? "" : "warn"],
    ["camera", camera.trouble || `${camera.kind}, ${camera.trigger === "command" ? "on command" : "on schedule"}`, camera.trouble ? "warn" : ""],
    ["picture", state.jpeg_quality === null ? "without loss" : `JPEG ${state.jpeg_quality}`, ""],
    ["flat field", versions.flat_field ? `version ${versions.flat_field}, ${count(versions.flat_field_frames, "frame")}` : versions.flat_field_frames ? `learning, ${count(versions.flat_field_frames, "frame")}` : "none", ""],
    ["calibration", versions.calibration ? `version ${versions.calibration}` : "none", ""],
    ["software", join(versions.software, `up ${age(computer.uptime_s + since())}`), ""],
    ["operator", operator() || "not asked yet", ""],
  ].filter(([, value]) => value);
  const facts = byId("facts");
  if (facts.children.length !== rows.length) {
    facts.replaceChildren(...rows.map(() => h("div", {}, h("dt"), h("dd"))));
  }
  rows.forEach(([name, value, level], n) => {
    const [term, text] = facts.children[n].children;
    if (term.textContent !== name) term.textContent = name;
    if (text.textContent !== value) text.textContent = value;
    facts.children[n].dataset.level = level;
  });
}

function clockWords({ clock_synced: isSet, clock_offset_ms: offset }) {
  if (!isSet) return "not set yet";
  return offset === null ? "set" : `${Math.abs(offset) < 1000 ? `${offset.toFixed(0)} ms` : `${(offset / 1000).toFixed(1)} s`} off`;
}

/** Does an action and says under the verdict what went wrong; "" where nothing did. */
async function act(name, args = {}) {
  const answer = await wish(name, args);
  say(answer.ok ? "" : answer.error);
  return answer.ok ? "" : answer.error;
}

function say(text) {
  byId("answer").hidden = !text;
  write("answer", text);
}

async function capture() {
  if (isTaking || !state || byId("capture").disabled) return;
  isTaking = true;
  drawShoot();
  await act("capture", { stat: byId("stat").checked });
  isTaking = false;
  drawShoot();
  if (!isOpen()) byId("capture").focus({ preventScroll: true });
}

function askCase() {
  const next = caseField("Case", "");
  const nodes = [...next.nodes];
  if (state.camera.is_live) nodes.push(h("p", { className: "quiet" }, "Or hold its code in front of the camera and capture: the case opens by itself."));
  if (state.case.case_id) nodes.unshift(h("p", {}, `${state.case.case_id} is closed by this.`));
  open(state.case.case_id ? "Next case" : "Open a case", nodes, [["Open case", async () =>
    checkCase(next.input.value) || (await act("open_case", { case_id: next.input.value })), "first"]]);
}

byId("capture").onclick = capture;
byId("pause").onclick = () => act(byId("pause").dataset.action);
byId("open-case").onclick = named(askCase);
byId("close-case").onclick = named(() => confirm(`Close ${state.case.case_id}?`, "What is captured after that is unfiled until a case is opened.", "Close case", () => act("close_case"), "first"));
byId("operator").onclick = () => askOperator(draw);
byId("set-quality").onclick = named(() => askQuality(state, act));
byId("calibrate").onclick = named(() => askCalibrate(act));
byId("report").onclick = named(() => showReport(wish));
byId("flat-field-undo").onclick = named(() => confirm("Undo the flat field?", `Version ${state.versions.flat_field} is thrown away; the one before it is used again.`, "Undo flat field", () => act("flat_field_undo")));
byId("restart").onclick = named(() => confirm("Restart the agent?", "No picture is taken for some seconds. Nothing that is waiting is lost.", "Restart", () => act("restart")));

document.addEventListener("keydown", (event) => {
  if (event.code !== "Space" || event.repeat || isOpen()) return;
  if (event.target.closest?.("button:not(#capture), input, a, summary")) return;
  event.preventDefault();
  capture();
});
document.addEventListener("keyup", (event) => {
  if (event.code === "Space" && event.target.id === "capture") event.preventDefault(); // pressed once already
});

let caseBefore;
follow((next) => {
  if (caseBefore !== undefined && caseBefore !== next.case.case_id) byId("stat").checked = false; // STAT is a case's
  caseBefore = next.case.case_id;
  state = next;
  cameAt = performance.now();
  draw();
}, (now) => {
  if (life !== now) {
    life = now;
    draw();
  }
});
showPreview(byId("preview"), () => state?.camera.is_live && life === "alive", (isThere) => {
  byId("preview").hidden = !isThere;
  write("preview-word", isThere ? "live" : state?.camera.trouble || "no live picture now");
});
setInterval(() => state && life !== "connecting" && draw(), 1000);
