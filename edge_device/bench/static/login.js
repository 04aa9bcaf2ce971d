// Exchanges the device's token for a cookie; the token is not kept here.
const form = document.getElementById("login");
const answer = document.getElementById("answer");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  let error = "This device does not answer.";
  try {
    const response = await fetch("/login", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ token: form.token.value.trim() }),
    });
    if (response.ok) {
      location.replace("/");
      return;
    }
    error = (await response.json()).error;
  } catch {
    // the words above stand
  }
  answer.textContent = error;
  answer.hidden = false;
  button.disabled = false;
  form.token.select();
});
