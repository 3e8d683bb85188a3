// The alerts: live; a silence is begun from the alert that it is for.
import * as act from "./act.js";
import { $, start } from "./live.js";

start();
act.start();

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-silence]");
  if (!button) return;
  $("#s-subject").value = button.dataset.subject;
  $("#s-kind").value = button.dataset.kind;
  $("#s-why").focus();
});
