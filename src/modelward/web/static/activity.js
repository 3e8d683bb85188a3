// The activity: jobs move as their events come, without a fetch for each step.
import * as act from "./act.js";
import { $, start } from "./live.js";

start();
act.start();

document.addEventListener("job", ({ detail: job }) => {
  const place = document.querySelector(`[data-job="${CSS.escape(job.id)}"]`);
  if (!place) return;
  $("[data-stage]", place).textContent = job.stage || job.state;
  $("[data-count]", place).textContent = job.total ? `${act.bytes(job.done)} of ${act.bytes(job.total)}` : "";
  const bar = $("[data-bar]", place);
  if (job.total) {
    bar.max = job.total;
    bar.value = job.done;
  }
});
