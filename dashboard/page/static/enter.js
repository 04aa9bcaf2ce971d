// Exchanges the one-time link for a session. It stands behind the "#", which no browser sends by itself: no log, no
// preview of a messenger and no other page gets to see it.
const words = document.getElementById("words");
const link = location.hash.slice(1);
history.replaceState(null, "", "/enter");

async function enter() {
  if (!link) return "There is no link in this address.";
  try {
    const response = await fetch("/enter", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ link }),
    });
    if (response.ok) {
      location.replace("/");
      return "Welcome.";
    }
    return (await response.json()).error;
  } catch {
    return "The server does not answer. Load the link again.";
  }
}

words.textContent = await enter();
