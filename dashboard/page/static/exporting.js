// A signed case as a file to take along; the server writes each export into its audit book.
import { byId, h, write } from "./dom.js";
import { open, say } from "./dialogs.js";
import { take, wish } from "./server.js";
import { caseWord, clock } from "./words.js";

const FORMS = [
  ["pdf", "PDF, one page", "for people"],
  ["fhir-r5", "FHIR R5", "for hospital systems"],
  ["fhir-r4b", "FHIR R4B", "for hospital systems"],
  ["dicom", "DICOM", "the pictures alone, as a zip file"],
  ["csv", "CSV", "the findings, as a table"],
  ["patient", "Patient's copy", "in plain words, as PDF"],
];

export function askExport(view) {
  const note = h("p", { className: "quiet", role: "status" }, "Each export is written into the audit book under your name. Nothing in the file names a patient, and comments stay here.");
  const buttons = FORMS.map(([form, name, what]) => {
    const button = h("button", { type: "button" }, name, h("small", {}, what));
    button.onclick = async () => {
      for (const one of buttons) one.disabled = true;
      byId("dialog-error").hidden = true;
      write(note, `Making the ${name.split(",")[0]}…`);
      const { file, error } = await take(`/api/cases/${encodeURIComponent(view.line.key)}/export`, { form });
      for (const one of buttons) one.disabled = false;
      write(note, error ? "" : `${file.name} was given to this browser, which keeps or opens it.`);
      if (error) return say(error);
      const url = URL.createObjectURL(file);
      h("a", { href: url, download: file.name }).click();
      setTimeout(() => URL.revokeObjectURL(url), 60000);
    };
    return button;
  });
  open(`Export ${caseWord(view.line)}`, [h("div", { className: "menu" }, ...buttons), note], [], { closeWord: "Close" });
}

/** A link to the patient's copy in plain words: it opens once, and is shown once. */
export function askPatientLink(view) {
  open(`A copy for the patient of ${caseWord(view.line)}?`, [
    h("p", {}, "A link to the signed result in plain words. It opens once, on any device, and ends by itself. It names nobody: give it to the right person."),
  ], [["Make the link", async () => {
    const { link, ends_at, error } = await wish(`/api/cases/${encodeURIComponent(view.line.key)}/patient-link`);
    if (error) return error;
    const address = `${location.origin}${link}`;
    const told = h("p", { className: "quiet", role: "status" }, `It opens once, until ${clock(ends_at)}. It is not shown again.`);
    const give = h("button", { type: "button", className: "first", onclick: () => give_(address, told) }, navigator.share ? "Share…" : "Copy");
    open("The patient's link", [h("p", { className: "link-text" }, address), give, told], [], { closeWord: "Close" });
    return "";
  }, "first"]]);
}

async function give_(address, told) {
  try {
    if (navigator.share) return await navigator.share({ url: address });
    await navigator.clipboard.writeText(address);
    write(told, "The link is on the clipboard.");
  } catch {
    write(told, "This browser passes nothing on: copy the link above.");
  }
}
