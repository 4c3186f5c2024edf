// The page's own script: swaps what the dashboard rendered, keeps the version, appends
// log lines, ticks times. It decides nothing about hosts.
"use strict";

const link = document.getElementById("link");
const csrf = document.querySelector('meta[name="csrf-token"]').content;
const page = () => document.getElementById("hosts");
// A page is the fleet's or one host's; others are not live.
const single = document.getElementById("host-page");
const versioned = page() || single;
let version = versioned ? Number(versioned.dataset.version) : 0;
let socket = null;
let retry = 500;
let asked = false;

// ---- time ----

const units = [["day", 86400], ["hour", 3600], ["min", 60], ["s", 1]];

function ago(instant) {
  const seconds = Math.max(0, Math.round((Date.now() - instant) / 1000));
  for (const [name, size] of units) {
    if (seconds >= size) {
      const n = Math.floor(seconds / size);
      return n + " " + name + (n > 1 && size > 60 ? "s" : "") + " ago";
    }
  }
  return "now";
}

function tick() {
  for (const time of document.querySelectorAll("time[datetime]")) {
    const instant = Date.parse(time.dateTime);
    if (Number.isNaN(instant)) continue;
    const text = ago(instant);
    if (time.textContent !== text) time.textContent = text;
    if (!time.dataset.exact) {
      time.dataset.exact = "yes";
      time.title = new Date(instant).toLocaleString();
    }
  }
}

// ---- swapping ----

// What the user opened, and what the script added, stays as it is.
const keep = {
  beforeAttributeUpdated: (name, node) =>
    !((name === "open" && node.matches("details")) ||
      (node.localName === "time" && (name === "title" || name === "data-exact"))),
  beforeNodeMorphed: (old, fresh) => {
    // Somebody may be typing.
    if (old.localName === "input" && old.type !== "hidden") return false;
    if (old.localName === "time" && old.dateTime === fresh.dateTime) return false;
    return true;
  },
};

function swap(fragment) {
  const old = document.getElementById(fragment.id);
  if (fragment.html === "") {
    if (old) old.remove();
  } else if (old) {
    Idiomorph.morph(old, fragment.html, { morphStyle: "outerHTML", callbacks: keep });
  } else if (fragment.after !== undefined && page()) {
    const before = fragment.after && document.getElementById(fragment.after);
    for (const hint of page().querySelectorAll(".first")) hint.remove();
    if (before) before.insertAdjacentHTML("afterend", fragment.html);
    else page().insertAdjacentHTML("afterbegin", fragment.html);
  }
}

// ---- the log ----

const lines = () => document.getElementById("log-lines");
// While a log is fetched, what comes for it is held back: nothing is lost in between.
let loading = null;
let held = [];

async function openLog(host) {
  const mine = {};
  loading = mine;
  held = [];
  let html = null;
  try {
    const answer = await fetch("/hosts/" + encodeURIComponent(host) + "/log");
    if (answer.ok) html = await answer.text();
  } catch {
    // The live connection is gone too; what comes after it opens the log again.
  }
  if (loading !== mine) return;
  loading = null;
  const panel = document.getElementById("log-panel");
  if (panel && html !== null) panel.outerHTML = html;
  follow();
  tick();
  for (const frame of held) logFrame(frame);
}

function logFrame(frame) {
  if (loading) held.push(frame);
  else if (frame.type === "command_output") output(frame);
  else complete(frame);
}

function follow() {
  const box = lines();
  if (box) box.scrollTop = box.scrollHeight;
}

function output(frame) {
  const box = lines();
  if (!box || box.dataset.command !== frame.command_id) return;
  const last = Number(box.dataset.lastSeq);
  if (frame.first_seq + frame.count - 1 <= last) return;
  if (frame.first_seq <= last) { openLog(frame.host); return; }
  const atEnd = box.scrollTop + box.clientHeight >= box.scrollHeight - 8;
  box.insertAdjacentHTML("beforeend", frame.html);
  box.dataset.lastSeq = frame.first_seq + frame.count - 1;
  while (box.childElementCount > 5000) box.firstElementChild.remove();
  if (atEnd) follow();
}

function complete(frame) {
  const box = lines();
  const outcome = document.getElementById("log-outcome");
  if (box && outcome && box.dataset.command === frame.command_id) outcome.innerHTML = frame.html;
}

// ---- one host's page ----

// Its row is swapped like any other. The rest of it is read again soon after something
// happened to the host.
let reading = null;

function readSoon(wait) {
  if (!reading) reading = setTimeout(readAgain, wait);
}

async function readAgain() {
  try {
    const answer = await fetch(location.href);
    reading = null;
    if (!answer.ok || answer.redirected) return location.reload();
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const part = fresh.getElementById("host-page");
    version = Number(part.dataset.version);
    Idiomorph.morph(single, part.outerHTML, { morphStyle: "outerHTML", callbacks: keep });
    tick();
  } catch {
    reading = null;
  }
}

function isAbout(frame, host) {
  const own = (fragment) => fragment.id === "host-" + host || fragment.id === "fleet-target";
  return frame.host === host || (frame.fragments || []).some(own);
}

// ---- the live connection ----

function receive(frame) {
  if (frame.type === "init" || frame.type === "sync") {
    if (frame.version !== version) wantAll();
    return;
  }
  if (frame.type === "full_state") {
    asked = false;
    version = frame.version;
    frame.fragments.forEach(swap);
    const box = lines();
    if (box) openLog(box.dataset.log);
    return;
  }
  if (frame.type === "host_heartbeat") {
    frame.fragments.forEach(swap);
    return;
  }
  if (asked || frame.version <= version) return;
  if (frame.version !== version + 1 && !single) { wantAll(); return; }
  if (frame.version !== version + 1) wantAll();
  version = frame.version;
  if (single && frame.type !== "command_output" && isAbout(frame, single.dataset.host)) readSoon(300);
  (frame.fragments || []).forEach(swap);
  if (frame.type === "command_queued" && document.getElementById("log-panel")) openLog(frame.host);
  if (frame.type === "command_output" || frame.type === "command_complete") logFrame(frame);
}

function wantAll() {
  if (single) return readSoon(0);
  if (asked) return;
  asked = true;
  socket.send('{"type":"full_state"}');
}

function connect() {
  socket = new WebSocket(location.origin.replace(/^http/, "ws") + "/live");
  socket.onopen = () => {
    link.dataset.state = "live";
    link.textContent = "live";
    retry = 500;
    asked = false;
  };
  socket.onmessage = (message) => {
    receive(JSON.parse(message.data));
    tick();
  };
  socket.onclose = () => {
    link.dataset.state = "reconnecting";
    link.textContent = "reconnecting";
    setTimeout(connect, retry * (0.5 + Math.random() / 2));
    retry = Math.min(retry * 2, 5000);
  };
}

// ---- clicks ----

function toast(text) {
  const note = document.createElement("p");
  note.textContent = text;
  document.getElementById("toasts").append(note);
  setTimeout(() => note.remove(), 8000);
}

// What failed is said, and what a click leads to where that is not seen on the page.
function toastAnswer(ok, said) {
  if (!ok) toast(said.error.message);
  else if (said.next) toast(said.next);
}

async function act(button) {
  button.setAttribute("aria-busy", "true");
  try {
    const address = new URL(button.formAction);
    const path = "/api" + address.pathname;
    const queue = address.searchParams.has("queue");
    const { head, source, generation, confirmed, patch } = button.dataset;
    const args = {};
    if (generation) args.generation = Number(generation);
    if (confirmed) args.confirmed = true;
    const why = button.parentElement.querySelector("[data-reason]");
    if (why && why.value) args.reason = why.value;
    const code = button.parentElement.querySelector("[autocomplete=one-time-code]");
    const totp = code ? code.value : undefined;
    const asked =
      button.name === "op" ? { op: button.value, args, queue, totp } : { head, source };
    const answer = await fetch(path, {
      method: patch ? "PATCH" : "POST",
      headers: { "Content-Type": "application/json", "X-CSRF-Token": csrf },
      body: patch || JSON.stringify(asked),
    });
    if (answer.status === 401) location.href = "/login";
    else toastAnswer(answer.ok, await answer.json());
  } catch {
    toast("The dashboard cannot be reached.");
  } finally {
    button.removeAttribute("aria-busy");
  }
}

document.addEventListener("submit", (event) => {
  if (event.target.id !== "act" || !event.submitter) return;
  event.preventDefault();
  if (!event.submitter.hasAttribute("aria-busy")) act(event.submitter);
});

document.addEventListener("click", (event) => {
  const control = event.target.closest('[data-op="log"]');
  if (control && document.getElementById("log-panel")) {
    event.preventDefault();
    openLog(control.dataset.for);
  }
});

if (versioned) connect();
else link.hidden = true;
setInterval(tick, 1000);
tick();
follow();
