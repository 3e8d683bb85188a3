// The door: sends the token, and says in words why it was refused.
const form = document.getElementById("login");
const refused = document.getElementById("refused");
const field = document.getElementById("token");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  refused.textContent = "";
  try {
    const answer = await fetch("/api/v1/session", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ token: field.value.trim() }),
    });
    if (answer.ok) {
      location.assign("/");
      return;
    }
    const problem = await answer.json();
    refused.textContent = `Refused: ${problem.detail}.${problem.next_step ? ` What to do: ${problem.next_step}.` : ""}`;
  } catch {
    refused.textContent = "The guard is away: it does not answer. Start it, or wait until it is back.";
  }
  field.select();
});
