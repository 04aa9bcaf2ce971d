// A signed case as a file to take along; the server writes each export into its audit book.
import { byId, h, write } from "./dom.js";
import { open, say } from "./dialogs.js";
import { take } from "./server.js";
import { caseWord } from "./words.js";

const FORMS = [
  ["pdf", "PDF, one page", "for people"],
  ["fhir-r5", "FHIR R5", "for hospital systems"],
  ["fhir-r4b", "FHIR R4B", "for hospital systems"],
  ["dicom", "DICOM", "the pictures alone, as a zip file"],
  ["csv", "CSV", "the findings, as a table"],
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
