// Buttons that do something: show the plan, start the job, follow it to its end; or ask, send, and say what came of it.
import { $, refresh, say } from "./live.js";

const dialog = $("#act");
const body = $("#act-body");
const bar = $("#act-bar");
const progress = $("#act-progress");
const go = $("#act-go");
const stop = $("#act-stop");
let followed = null;
let opener = null;

const headers = () => ({
  "content-type": "application/json",
  ...(document.body.dataset.csrf ? { "x-csrf-token": document.body.dataset.csrf } : {}),
});

function text(tag, words, kind = "") {
  const made = document.createElement(tag);
  made.textContent = words;
  if (kind) made.className = kind;
  return made;
}

// A problem document as the page shows it.
function trouble(problem) {
  const made = text("div", "", "trouble");
  const thing = problem.thing ? `: ${problem.thing}` : "";
  made.append(text("p", `${problem.title || "It failed"}. ${problem.detail || ""}${thing}`));
  if (problem.next_step) made.append(text("p", `What to do: ${problem.next_step}`, "muted"));
  return made;
}

const GONE = { title: "The guard is away", detail: "it does not answer", next_step: "start it, or wait until it is back" };

export async function send(method, path, value) {
  try {
    const answer = await fetch(path, {
      method,
      headers: { ...headers(), ...(path === "/api/v1/jobs" ? { "idempotency-key": crypto.getRandomValues(new Uint32Array(4)).join("-") } : {}) },
      body: value === undefined ? undefined : JSON.stringify(value),
    });
    const found = answer.status === 204 ? {} : await answer.json().catch(() => ({}));
    return { ok: answer.ok, value: found };
  } catch {
    return { ok: false, value: GONE };
  }
}

function open(title, from) {
  opener = from;
  $("#act-title").textContent = title;
  body.replaceChildren();
  progress.hidden = true;
  stop.hidden = true;
  go.hidden = false;
  go.disabled = false;
  $("#act-close").textContent = "Close";
  dialog.showModal();
}

function refused(problem) {
  body.replaceChildren(trouble(problem));
  go.hidden = true;
}

// --- jobs --------------------------------------------------------------------------------------------------------

export async function ask(verb, options, title, planned, from) {
  open(title, from);
  go.textContent = "Start";
  go.onclick = () => begin(verb, options);
  if (!planned) {
    body.append(text("p", "It is started as a job; you can leave this page meanwhile."));
    go.focus();
    return;
  }
  go.disabled = true;
  body.append(text("p", "Making the plan …", "muted"));
  const plan = await part("POST", "/plan", { verb, options });
  if (!plan.ok) return refused(plan.value);
  body.replaceChildren(plan.value);
  go.disabled = false;
  go.focus();
}

// A part of a page, made by the server, or the problem in its place.
async function part(method, path, value) {
  try {
    const answer = await fetch(path, {
      method,
      headers: { ...headers(), "x-fragment": "1" },
      body: value === undefined ? undefined : JSON.stringify(value),
    });
    const type = answer.headers.get("content-type") || "";
    if (!type.startsWith("text/html")) return { ok: false, value: await answer.json() };
    if (answer.redirected) return { ok: false, value: { title: "The session has ended", next_step: "log in again" } };
    const made = document.createElement("div");
    made.append(...new DOMParser().parseFromString(await answer.text(), "text/html").body.childNodes);
    return answer.ok ? { ok: true, value: made } : { ok: true, value: made, failed: true };
  } catch {
    return { ok: false, value: GONE };
  }
}

async function begin(verb, options) {
  go.disabled = true;
  const started = await send("POST", "/api/v1/jobs", { verb, options });
  if (!started.ok) return refused(started.value);
  go.hidden = true;
  stop.hidden = false;
  progress.hidden = false;
  stop.onclick = () => send("DELETE", `/api/v1/jobs/${started.value.id}`);
  follow(started.value);
  $("#act-close").focus();
}

function follow(job) {
  draw(job);
  if (job.state !== "waiting" && job.state !== "running") return ended(job);
  followed?.close();
  const source = new EventSource(`/api/v1/jobs/${job.id}/events`);
  followed = source;
  source.addEventListener("job", (event) => {
    const now = JSON.parse(event.data);
    draw(now);
    if (now.state === "waiting" || now.state === "running") return;
    source.close();
    ended(now);
  });
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) {
      $("#act-stage").textContent = "The guard was started anew meanwhile. See the page Activity for what became of it.";
      stop.hidden = true;
    } else {
      $("#act-stage").textContent = "The guard is away; waiting for it";
    }
  });
}

function draw(job) {
  $("#act-stage").textContent = job.stage || (job.state === "waiting" ? "Waits for the work before it" : "Working");
  $("#act-count").textContent = job.total ? `${bytes(job.done)} of ${bytes(job.total)}` : "";
  if (job.total) {
    bar.max = job.total;
    bar.value = job.done;
  } else {
    bar.removeAttribute("value");
  }
}

const WORDS = { done: "Done", failed: "Failed", cancelled: "Cancelled", interrupted: "Interrupted" };

async function ended(job) {
  stop.hidden = true;
  progress.hidden = true;
  const report = await part("GET", `/activity/${job.id}`);
  const state = text("p", `${WORDS[job.state] || job.state}.`, job.state === "done" && !job.exit_code ? "outcome good" : "outcome loss");
  state.id = "act-state";
  if (job.state === "done" && job.exit_code) state.textContent = job.exit_code === 1 || job.exit_code === 3 ? "Done: there is damage." : `Done, exit code ${job.exit_code}.`;
  body.replaceChildren(state, report.ok ? report.value : trouble(report.value));
  say(`${job.kind}: ${state.textContent}`);
  refresh();
}

// Jobs that a page shows move as their events come, without a fetch for each step.
export function moveJobs() {
  document.addEventListener("job", ({ detail: job }) => {
    const place = document.querySelector(`[data-job="${CSS.escape(job.id)}"]`);
    if (!place) return;
    $("[data-stage]", place).textContent = job.stage || job.state;
    $("[data-count]", place).textContent = job.total ? `${bytes(job.done)} of ${bytes(job.total)}` : "";
    const bar = $("[data-bar]", place);
    if (job.total) {
      bar.max = job.total;
      bar.value = job.done;
    }
  });
}

// Bytes as the server writes them: up to three digits and a decimal unit.
export function bytes(count) {
  let value = count;
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (value < 999.5) return `${unit === "B" ? Math.round(value) : Number(value.toPrecision(3))} ${unit}`;
    value /= 1000;
  }
  return `${Number(value.toPrecision(3))} TB`;
}

// --- requests without a job -----------------------------------------------------------------------------------------

function askToSend(button) {
  const [method, path] = button.dataset.send.split(" ");
  open(button.dataset.title, button);
  body.append(text("p", button.dataset.ask));
  go.textContent = button.dataset.title;
  go.onclick = async () => {
    go.disabled = true;
    const answer = await send(method, path);
    if (!answer.ok) return refused(answer.value);
    if (button.dataset.go) return location.assign(button.dataset.go);
    go.hidden = true;
    body.replaceChildren(button.dataset.show === "channels" ? channels(answer.value) : text("p", button.dataset.done, "outcome good"));
    refresh();
    return undefined;
  };
  go.focus();
}

function channels(report) {
  const list = text("ul", "", "told");
  for (const each of report.channels) {
    const line = text("li", "", each.error ? "loss" : "good");
    line.append(text("span", each.channel), " ", text("span", each.error ? `failed: ${each.error}` : `took it in ${each.seconds.toFixed(2)} s`, "muted"));
    list.append(line);
  }
  return list.children.length ? list : text("p", "No channel is set: alerts are logged only. See the settings alert_urls and webhook_url.");
}

// --- forms ---------------------------------------------------------------------------------------------------------------

export function optionsOf(form) {
  const options = {};
  for (const field of form.querySelectorAll("[data-kind]")) {
    const { kind } = field.dataset;
    const value = kind === "yes" ? field.checked : field.value.trim();
    if (value === "" || value === false) continue;
    if (kind === "models") options[field.name] = value.split(",").map((name) => name.trim()).filter(Boolean);
    else if (kind === "number") options[field.name] = Number(value);
    else options[field.name] = value;
  }
  return options;
}

async function post(form) {
  const place = form.querySelector(".refused");
  place.replaceChildren();
  const answer = await send("POST", form.dataset.post, Object.fromEntries(new FormData(form)));
  if (!answer.ok) return place.replaceChildren(trouble(answer.value));
  form.reset();
  say(form.dataset.done);
  return refresh();
}

export function start() {
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("button");
    if (!button || button.disabled) return;
    if (button.dataset.verb) {
      ask(button.dataset.verb, JSON.parse(button.dataset.options), button.dataset.title, "plan" in button.dataset, button);
    } else if (button.dataset.send) {
      askToSend(button);
    }
  });
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.dataset.start) {
      event.preventDefault();
      ask(form.dataset.start, optionsOf(form), form.dataset.title, "plan" in form.dataset, form.querySelector("button"));
    } else if (form.dataset.post) {
      event.preventDefault();
      post(form);
    }
  });
  dialog?.addEventListener("close", () => {
    followed?.close();
    followed = null;
    if (opener?.isConnected) opener.focus();
    opener = null;
  });
}
