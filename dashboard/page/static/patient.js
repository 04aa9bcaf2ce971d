// Shows a patient the copy that a one-time link stands for. The secret is behind the "#", which no browser sends by
// itself; it is sent when the button is pressed, and then it is used up.
const place = document.getElementById("copy");
const words = document.getElementById("words");
const button = document.getElementById("open");
const link = location.hash.slice(1);

function make(kind, text, name) {
  const element = document.createElement(kind);
  if (text) element.textContent = text;
  if (name) element.className = name;
  return element;
}

function say(text) {
  words.textContent = text;
  words.setAttribute("role", "alert");
}

function show(copy) {
  history.replaceState(null, "", "/patient");
  const questions = make("ul");
  questions.append(...copy.questions.map((one) => make("li", one)));
  const save = make("button", "Save as PDF", "first");
  save.type = "button";
  save.addEventListener("click", () => keep(copy.pdf));
  place.replaceChildren(
    make("h1", copy.title),
    ...copy.parts.flatMap((part) => [make("h2", part.heading), make("p", part.words)]),
    make("h2", "What you can ask your doctor"),
    questions,
    make("p", copy.signed),
    save,
    make("p", copy.foot, "quiet foot"),
  );
  place.dataset.ready = "yes";
}

function keep(pdf) {
  const bytes = Uint8Array.from(atob(pdf), (one) => one.charCodeAt(0));
  const address = URL.createObjectURL(new Blob([bytes], { type: "application/pdf" }));
  const anchor = make("a");
  anchor.href = address;
  anchor.download = "blood-smear-copy.pdf";
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

async function open() {
  button.disabled = true;
  try {
    const response = await fetch("/patient", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ link }),
    });
    const answer = await response.json();
    if (response.ok) {
      show(answer);
      return;
    }
    say(answer.error);
  } catch {
    say("The lab's computer does not answer. Try again later: your link is still good.");
    button.disabled = false;
  }
}

if (link) {
  button.addEventListener("click", open);
  button.disabled = false; // a press before this script was here would have done nothing
} else {
  button.hidden = true;
  say("There is no link in this address. Check that you have all of it.");
}
