// One case from top to bottom: what is urgent, what was seen, what to do; everything else below the fold. (One file of
// more than 250 lines, since all of it redraws from the same view: parts that stand alone are modules beside it.)
import { crops } from "./crops.js";
import { factList, facts, history } from "./below.js";
import { byId, h, write } from "./dom.js";
import { askExport, askPatientLink } from "./exporting.js";
import { Seen } from "./seen.js";
import { ask } from "./server.js";
import { askAnswer, askConfirm, askRefer, askRetake, askWithdraw, offerUndo, reveal } from "./signing.js";
import { open, shut } from "./dialogs.js";
import { Viewer } from "./viewer.js";
import { age, caseWord, clock, count, kindOf, mark, now, seen as seenWords, span } from "./words.js";

const AGAIN_MS = 5000;

export class CasePane {
  /** `me` may change; `isOffline()` and `more()` come from the page. */
  constructor({ onBack, isOffline, more }) {
    Object.assign(this, { onBack, isOffline, more });
    this.box = byId("case");
    this.view = null;
    this.key = "";
    this.seen = null;
    this.viewer = null;
    setInterval(() => this.view && this.ageBox && write(this.ageBox, age(this.view.line.since)), 1000);
  }

  close() {
    this.key = "";
    this.view = null;
    this.asked = null;
    this.hasFailed = false;
    clearTimeout(this.again);
    this.seen?.stop();
    this.viewer?.stop();
    this.box.replaceChildren(h("p", { className: "hint" }, "Choose a case from the list."));
    byId("toast").hidden = true;
  }

  /** Loads a case; what was in view stays so where it is the same case. */
  async show(key, { me, isBlind, isQuiet = false } = {}) {
    this.me = me ?? this.me;
    this.isBlind = isBlind ?? this.isBlind;
    const isOther = key !== this.key;
    this.key = key;
    if (isOther) {
      this.view = null;
      this.shownAt = 0;
      this.box.replaceChildren(h("p", { className: "hint" }, "Loading…"));
      this.box.scrollTop = 0;
      byId("toast").hidden = true;
    }
    const asked = (this.asked = {});
    clearTimeout(this.again);
    this.hasFailed = false;
    try {
      const { body, kept } = await ask(`/api/cases/${encodeURIComponent(key)}${this.isBlind ? "?blind=1" : ""}`);
      if (asked !== this.asked) return;
      this.kept = kept;
      this.#take(body, !this.view);
      if (!isQuiet) offerUndo(body, () => this.reload());
    } catch (error) {
      if (asked === this.asked && !this.view) this.#fail(error);
    }
  }

  reload() {
    return this.key ? this.show(this.key) : Promise.resolve();
  }

  /** The server speaks: what could not be loaded, or came from what was kept, is asked for again. */
  retry() {
    if (this.hasFailed || this.kept) return this.reload();
    for (const image of this.box.querySelectorAll(".crop[data-failed] img")) image.src = image.dataset.src;
    this.viewer?.retry();
    return Promise.resolve();
  }

  /** Nothing of this case is shown: says why, and goes on trying where that may pass. */
  #fail(error) {
    const mayPass = error.status === 0 || error.status >= 500;
    this.hasFailed = mayPass;
    if (mayPass) this.again = setTimeout(() => this.reload(), AGAIN_MS);
    const words = `This case could not be loaded: ${error.message.replace(/\.$/, "")}.${mayPass ? " The page goes on asking." : ""}`;
    if (!this.box.querySelector(".failed")) {
      this.box.replaceChildren(h("div", { className: "failed" }, this.#back(), h("p", { role: "alert" }),
        h("button", { type: "button", className: "first", onclick: () => this.reload() }, "Try again")));
    }
    write(this.box.querySelector(".failed p"), words);
  }

  /** Redraws what depends on the link to the server. */
  drawActions() {
    if (!this.view || !this.buttons) return;
    const { view } = this;
    const canSign = this.me.may_sign && !this.isOffline() && !this.kept && !view.held && view.line.status !== "preview";
    const isSigned = Boolean(view.signed_at);
    const { confirm, correct, more } = this.buttons;
    const isSeen = this.seen.isDone;
    confirm.hidden = isSigned;
    confirm.disabled = !canSign || !isSeen || (!view.is_blind && !view.confirms);
    const why = this.isOffline() || this.kept ? "not while offline"
      : !this.me.may_sign ? `not as ${this.me.role}`
      : view.line.status === "preview" ? "when the picture is here"
      : view.held ? `${view.held.person} is signing`
      : !view.is_blind && !view.confirms ? "the AI gives no answer"
      : !isSeen ? "look at the pictures first"
      : view.is_blind ? "before the AI's is shown" : view.confirms.split(";")[0];
    write(confirm.querySelector("span"), view.is_blind ? "Your answer…" : "Confirm");
    write(confirm.querySelector("small"), why);
    correct.hidden = view.is_blind;
    correct.disabled = !canSign;
    correct.classList.toggle("first", isSigned || !view.confirms);
    write(correct.querySelector("span"), isSigned ? "Amend…" : "Correct…");
    more.disabled = false;
  }

  press(name) {
    const button = this.buttons?.[name];
    if (button && !button.disabled && !button.hidden) button.click();
  }

  #take(view, isNew) {
    const pictures = JSON.stringify([view.cells, view.fields.map((field) => [field.image_id, field.has_image]), view.is_blind]);
    const isSame = !isNew && pictures === this.pictures;
    this.pictures = pictures;
    this.view = view;
    if (isSame && this.parts) {
      this.#refresh();
      if (this.viewer.field) this.#drawField(view.fields[this.fieldNumber], this.fieldNumber);
      return;
    }
    this.seen?.stop();
    this.viewer?.stop();
    this.seen = new Seen(() => this.drawActions());
    this.viewer = new Viewer(this.seen);
    if (!this.shownAt) this.shownAt = now();
    this.#build();
    if (isNew && matchMedia("(max-width: 899px)").matches) this.box.querySelector("h1")?.focus({ preventScroll: true });
  }

  #back() {
    return h("button", { type: "button", className: "round back", ariaLabel: "Back to the list", onclick: () => this.onBack() }, "‹");
  }

  #build() {
    const { view } = this;
    this.parts = { head: h("header", { className: "case-head" }), said: h("div", { className: "case-said" }), facts: h("div", { className: "below" }), history: h("div", {}) };
    const actions = this.#actions();
    const pictures = this.#pictures();
    this.box.replaceChildren(
      h("article", { className: "case-article" },
        h("div", { className: "case-top" }, this.parts.head, this.parts.said, pictures.crops),
        h("div", { className: "case-below" }, pictures.fields, this.parts.history, this.parts.facts),
        actions),
    );
    this.#refresh();
    if (!view.cells.length) this.#showField(0);
    else this.#showFieldSoon(pictures.fields);
  }

  #refresh() {
    const { view, parts } = this;
    this.ageBox = h("span", { className: "case-age", title: `since ${clock(view.line.since)}` }, age(view.line.since));
    parts.head.replaceChildren(this.#back(), mark(kindOf(view.line)), h("h1", { className: "case-id", tabIndex: -1 }, caseWord(view.line)), this.ageBox);
    parts.head.dataset.kind = kindOf(view.line);
    parts.said.replaceChildren(...[
      view.signed_at ? h("p", { className: "signed", role: "status" }, `${view.line.status === "entered_in_error" ? "Entered in error" : `Signed: ${view.signed}`}, ${view.line.signed_by}, ${clock(view.signed_at)}`) : null,
      view.line.new_fields && view.signed_at ? h("p", { className: "note" }, `${count(view.line.new_fields, "field")} came after the signature: look, and amend where needed.`) : null,
      h("p", { className: "sentence" }, view.text),
    ].filter(Boolean));
    parts.facts.replaceChildren(...facts(view, this));
    parts.history.replaceChildren(...history(view));
    this.drawActions();
  }

  #actions() {
    const after = () => this.reload();
    const confirm = h("button", { type: "button", className: "first confirm", onclick: () => (this.view.is_blind ? askAnswer(this.view, after) : askConfirm(this.view, after)) }, h("span", {}, "Confirm"), h("small"));
    const correct = h("button", { type: "button", onclick: () => askAnswer(this.view, after) }, h("span", {}, "Correct…"));
    const more = h("button", { type: "button", onclick: () => this.#more() }, "More…");
    this.buttons = { confirm, correct, more };
    return h("div", { className: "actions", role: "group", ariaLabel: "What to do" }, confirm, correct, more);
  }

  #more() {
    const after = () => this.reload();
    const { view } = this;
    const canAct = this.me.may_sign && !this.isOffline() && !this.kept;
    open(caseWord(view.line), [
      h("div", { className: "menu" },
        h("button", { type: "button", disabled: !canAct, onclick: () => askRefer(view, after) }, "Refer to a second reader…"),
        h("button", { type: "button", disabled: !canAct || !this.me.may_retake, onclick: () => askRetake(view, after) }, "Ask for a retake…"),
        view.is_blind ? h("button", { type: "button", onclick: () => this.#reveal() }, "Show what the AI says now") : null,
        view.signed_at && this.me.may_export ? h("button", { type: "button", disabled: this.isOffline(), onclick: () => askExport(view) }, "Export: PDF, FHIR, DICOM, CSV…") : null,
        view.signed_at && this.me.may_export && this.me.has_patient_links ? h("button", { type: "button", disabled: this.isOffline(), onclick: () => askPatientLink(view) }, "Link for the patient…") : null,
        view.signed_at && view.line.status !== "entered_in_error" ? h("button", { type: "button", disabled: !canAct, onclick: () => askWithdraw(view, after) }, "Withdraw the report…") : null,
        this.me.may_retake ? null : h("p", { className: "quiet" }, "No retakes from here: this page has no account on the broker."),
        ...this.more()),
    ], [], { closeWord: "Close" });
  }

  async #reveal() {
    await reveal(this.view);
    shut();
    await this.reload();
  }

  #pictures() {
    const { view } = this;
    const isPreview = view.line.status === "preview";
    const hasPicture = view.fields.some((field) => field.has_image);
    const shown = view.cells.length
      ? crops(view, this.seen, (cell) => this.#goTo(cell))
      : { track: h("p", { className: "no-cells" }, isPreview ? "So far only a small preview has come. The picture itself is on its way and appears here by itself." : !hasPicture ? "No picture was archived: what was captured ended on the device. Ask for a retake, or refer." : view.counted_fields ? "No white cell was found in these fields: look at the fields." : "White cells were not marked in these fields: look at the fields."), controls: null };
    const count_ = h("p", { className: "cells-count" }, view.line.fields ? seenWords(view.line.white_cells, view.line.fields) : isPreview ? `preview of ${count(view.line.previews, "field")}` : `${count(view.line.retakes, "field")} to take again`);
    const foot = h("div", { className: "crops-foot" }, count_, shown.controls);
    this.mapNote = h("p", { className: "quiet map-note", role: "status" });
    this.mapButton = h("button", { type: "button", ariaPressed: "false", onclick: () => this.#toggleMap() }, "Map");
    const zoomIn = h("button", { type: "button", className: "round", ariaLabel: "Zoom in", onclick: () => this.viewer.zoom(1.6) }, "+");
    const zoomOut = h("button", { type: "button", className: "round", ariaLabel: "Zoom out", onclick: () => this.viewer.zoom(1 / 1.6) }, "−");
    const all = h("button", { type: "button", onclick: () => this.viewer.reset() }, "Fit");
    this.strip = h("div", { className: "strip", role: "group", ariaLabel: "Fields" }, ...view.fields.map((field, n) => this.#thumb(field, n)));
    this.fieldWords = h("div", { className: "field-words" });
    const fields = h("section", { className: "fields", ariaLabel: "Fields" },
      h("h2", { className: "eyebrow" }, count(view.fields.length, "field")),
      view.fields.length > 1 ? this.strip : null,
      hasPicture ? this.viewer.box : null,
      hasPicture ? h("div", { className: "viewer-tools" }, zoomOut, zoomIn, all, view.is_blind ? null : this.mapButton) : null,
      this.mapNote, this.fieldWords);
    return { crops: h("section", { className: "crops", ariaLabel: "White cells" }, shown.track, foot), fields };
  }

  #thumb(field, n) {
    const image = field.has_image ? h("img", { src: `/api/fields/${field.image_id}/small`, alt: "", loading: "lazy", decoding: "async", draggable: false }) : h("span", { className: "no-picture" }, "no picture");
    return h("button", { type: "button", className: "thumb", data: { kind: field.urgency || "hidden" }, ariaLabel: `Field ${n + 1}`, onclick: () => this.#showField(n) }, image, h("span", {}, `${n + 1}`));
  }

  #showFieldSoon(section) {
    const watcher = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      watcher.disconnect();
      if (!this.viewer.field) this.#showField(0);
    }, { rootMargin: "200px" });
    watcher.observe(section);
  }

  #showField(n, cell = null) {
    const field = this.view.fields[n];
    if (!field) return;
    this.fieldNumber = n;
    [...this.strip.children].forEach((thumb, k) => thumb.setAttribute("aria-pressed", k === n ? "true" : "false"));
    this.#mapOff();
    this.viewer.show(field, cell);
    this.#drawField(field, n);
  }

  #drawField(field, n) {
    const rows = [
      ["captured, by the device's clock", clock(field.captured_at)],
      ["recorded", clock(field.recorded_at)],
      ["capture to result", field.latency_ms === null ? "not known: two machines" : span(field.latency_ms / 1000) === "0 s" ? `${Math.round(field.latency_ms)} ms` : `${(field.latency_ms / 1000).toFixed(1)} s`],
      ["microscope", field.device],
      ["distance from the training images", field.far === null ? "" : `farther than ${field.far} of 100 calibration images`],
      ["white cells", field.white_cells === null ? "not counted" : String(field.white_cells)],
      ["scale", field.um_per_px === null ? "not known" : `${field.um_per_px} µm per pixel`],
      ["picture", `${field.width_px && field.height_px ? `${field.width_px} × ${field.height_px} px, ` : ""}sha256 ${field.sha256.slice(0, 12)}…`],
    ];
    this.fieldWords.replaceChildren(
      h("h3", {}, `Field ${n + 1} of ${this.view.fields.length}`),
      field.text ? h("p", { className: "field-text" }, field.text) : "",
      ...field.notes.map((note) => h("p", { className: "note" }, note)),
      factList(rows));
  }

  #goTo(cell) {
    const n = this.view.fields.findIndex((field) => field.image_id === cell.image_id);
    this.#showField(n, [cell.x, cell.y, cell.side]);
    this.viewer.box.scrollIntoView({ block: "center", behavior: "smooth" });
  }

  async #toggleMap() {
    if (this.viewer.isMapShown) return this.#mapOff();
    const field = this.view.fields[this.fieldNumber];
    const top = field?.bars[0] ?? this.view.bars[0];
    if (!top) return write(this.mapNote, "No map: the model gave no answer on this field.");
    this.mapButton.disabled = true;
    write(this.mapNote, "Making the map…");
    const problem = await this.viewer.showMap(top.key);
    this.mapButton.disabled = false;
    if (problem) return write(this.mapNote, problem);
    this.mapButton.setAttribute("aria-pressed", "true");
    write(this.mapNote, `Where the score for “${top.name}” comes from. It does not show that the score is right.`);
  }

  #mapOff() {
    this.viewer.hideMap();
    this.mapButton?.setAttribute("aria-pressed", "false");
    if (this.mapNote) write(this.mapNote, "");
  }
}
