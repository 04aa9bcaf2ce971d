// Exchanges account and password for a session; the password is not kept here.
const form = document.getElementById("login");
const answer = document.getElementById("answer");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  let error = "The server does not answer.";
  try {
    const response = await fetch("/login", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ name: form.elements.username.value.trim(), password: form.elements.password.value }),
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
  form.elements.password.select();
});
