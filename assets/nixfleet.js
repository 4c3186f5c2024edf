// Swaps what the dashboard rendered, keeps the version, appends log lines, ticks times, and
// handles keys, selection and dialogs. It decides nothing about hosts.
"use strict";

const byId = (id) => document.getElementById(id);
const one = (css, root = document) => root.querySelector(css);
const all = (css, root = document) => [...root.querySelectorAll(css)];
const on = (type, what, capture) => document.addEventListener(type, what, capture);
const [link, icon, filter, sort] = ["link", "icon", "filter", "sort"].map(byId), title = document.title, fine = icon.href;
// A page is the fleet's or one host's; others are not live.
const hosts = () => byId("hosts"), single = byId("host-page");
let version = +(hosts() || single)?.dataset.version, socket, asked = false;

const soon = (wait, what) => (what.timer ??= setTimeout(() => what(void (what.timer = null)), wait));

// ---- time ----
const units = [[86400, " d"], [3600, " h"], [60, " min"], [1, " s"]];
function lasting(seconds) {
  const [size, name] = units.find(([size]) => seconds >= size) ?? units[3];
  return Math.floor(seconds / size) + name;
}
function tick(root = document) {
  for (const time of all("time", root)) {
    const at = Date.parse(time.dateTime), passed = Math.max(0, Math.round((Date.now() - at) / 1000));
    if (Number.isNaN(at)) continue;
    const text = "elapsed" in time.dataset ? lasting(passed) : passed ? lasting(passed) + " ago" : "now";
    if (time.textContent !== text) time.textContent = text;
    if (time.titled !== at) time.title = new Date((time.titled = at)).toLocaleString();
    const row = time.parentNode.className === "seen" && time.closest("[data-online=true]");
    if (row && row.hasAttribute("data-stale") !== passed > 60) row.toggleAttribute("data-stale");
  }
}

// ---- swapping: what the user opened, typed or chose stays as it is ----
const ours = ["aria-busy", "aria-current", "data-stale"];
const callbacks = {
  beforeAttributeUpdated: (name, node) =>
    !(ours.includes(name) || (name === "open" && node.matches("details, dialog")) ||
      (name === "title" && node.titled) || (name === "hidden" && node.matches(".host"))),
  beforeNodeMorphed: (old, fresh) =>
    !((old.matches?.("input, select") && old.type !== "hidden" && old.name === fresh.name) ||
      (old.localName === "time" && old.dateTime === fresh.dateTime)),
};
const morph = (old, html) => Idiomorph.morph(old, html, { morphStyle: "outerHTML", callbacks });
function swap({ id, html, after }) {
  const old = byId(id);
  if (!html) return old?.remove();
  if (old) morph(old, html);
  else if (after !== undefined && hosts()) {
    one(".first")?.remove();
    const before = after && byId(after);
    (before || hosts()).insertAdjacentHTML(before ? "afterend" : "afterbegin", html);
  }
  const now = byId(id);
  if (now) tick(now);
  return now;
}
const beat = (fragment) =>
  swap(fragment)?.closest(".host").querySelector(".dot").animate({ transform: ["scale(1.5)", "none"] }, 600);

// What surrounds the rows follows them.
function settle() {
  const failed = +one("[data-failed]")?.dataset.failed;
  document.title = failed ? "(" + failed + " failed) " + title : title;
  icon.href = failed ? icon.dataset.alarm : fine;
  for (const tab of all("#log-tabs a")) tab.ariaCurrent = tab.dataset.for === lines()?.dataset.log;
  if (!hosts()) return;
  if (filter.value || sort.value !== "name") arrange();
  if (one("#bar b")) soon(300, select);
}
const orders = {
  name: (row) => row.id,
  status: (row) => row.dataset.rank + row.id,
  seen: (row) => one(".seen time", row)?.dateTime + row.id,
};
function arrange() {
  const rows = all(".host"), words = filter.value.toLowerCase().split(/\s+/), key = orders[sort.value];
  for (const row of rows) row.hidden = !words.every((word) => row.dataset.find.includes(word));
  byId("none-found").hidden = !rows.length || rows.some((row) => !row.hidden);
  const list = hosts(), move = list.moveBefore ?? list.insertBefore;
  rows.sort((a, b) => (key(a) < key(b) ? -1 : 1));
  rows.forEach((row, at) => list.children[at] !== row && move.call(list, row, list.children[at]));
}

// ---- selection: the dashboard says what it means ----
let lastPick, selecting = 0;
async function select() {
  const mine = ++selecting, html = await ask("/selection", all(".pick:checked").map((pick) => ["hosts", pick.value]));
  if (html && mine === selecting) morph(byId("bar"), html);
}
const shown = () => all(".host:not([hidden])");
function pick(box, range) {
  const boxes = shown().map((row) => one(".pick", row));
  const [from, to] = [boxes.indexOf(lastPick), boxes.indexOf(box)].sort((a, b) => a - b);
  if (range && from >= 0) for (const other of boxes.slice(from, to)) other.checked = box.checked;
  lastPick = box;
  select();
}
function pickAll(on) {
  for (const row of on ? shown() : all(".host")) one(".pick", row).checked = on;
  byId("pick-all").checked = on;
  select();
}

// ---- the log ----
const lines = () => byId("log-lines"), following = () => byId("log-follow")?.checked;
let loading = null, frames = [];
// While a log is fetched, what comes for it is held back.
async function openLog(path) {
  const mine = (loading = {}), html = await ask(path);
  if (loading !== mine) return;
  loading = null;
  if (html && byId("log")) {
    byId("log").outerHTML = html;
    tick(byId("log"));
    follow();
    if (hosts() && lines()) history.replaceState(null, "", "/?log=" + lines().dataset.log);
  }
  settle();
  append();
}
const again = () => lines() && openLog("/commands/" + lines().dataset.command + "/log");
function follow() {
  const box = lines();
  if (!box || !following()) return;
  if (box.behind) again();
  else box.scrollTop = box.scrollHeight;
}
function append() {
  const box = lines();
  let html = "", count = 0;
  for (const frame of loading ? [] : frames.splice(0)) {
    for (const one of frame.fragments ?? []) if (one.id.startsWith("outcome-")) swap(one);
    if (!frame.html || box?.dataset.command !== frame.command_id) continue;
    const last = +box.dataset.lastSeq, end = frame.first_seq + frame.count - 1;
    if (end > last && !("search" in box.dataset)) {
      if (frame.first_seq <= last) return again();
      box.dataset.lastSeq = end;
      html += frame.html;
      count += frame.count;
    }
  }
  if (!html || box.behind) return;
  // Who reads further up is left alone; then what comes is fetched when it is wanted.
  if (box.childElementCount + count > (following() ? 5000 : 20000)) box.behind = true;
  else box.insertAdjacentHTML("beforeend", html);
  follow();
}
async function earlier(button) {
  const box = lines(), below = box.scrollHeight - box.scrollTop, html = await ask(button.dataset.href);
  if (!html || !button.isConnected) return;
  button.outerHTML = html;
  box.scrollTop = box.scrollHeight - below;
}
function copy(node) {
  getSelection().selectAllChildren(node);
  document.execCommand("copy");
  getSelection().removeAllRanges();
  toast("Copied.");
}

// ---- a host's page, or a dialog, is read again soon after something happened to its host ----
async function reread(node, path) {
  const html = path ? await ask(path) : null;
  if (html === undefined) return node === single ? (location = "/") : node.close();
  if (!html || !node.isConnected) return;
  morph(node, html);
  tick(node);
  if (node === single) version = +single.dataset.version;
  settle();
}
const rereadPage = () => reread(single, location.href);
const rereadDialog = () => reread(one("dialog"), one("dialog")?.path);

// ---- the live connection ----
function receive(frame) {
  const { type, fragments = [] } = frame;
  if (type === "host_heartbeat") return fragments.forEach(beat);
  if (type === "toast") return (!single || frame.host === single.dataset.host) && note(frame.html);
  if (type === "init" || type === "sync") return frame.version !== version && wantAll();
  if (type === "full_state") {
    asked = false;
    again();
  } else if (asked || frame.version <= version) return;
  else if (frame.version !== version + 1 && wantAll()) return;
  version = frame.version;
  fragments.forEach(swap);
  if (loading || frame.html) frames.push(frame);
  if (frame.html) return soon(50, append);
  const about = (host) => frame.host === host || fragments.some(({ id }) => id === "host-" + host || id === "fleet-target");
  if (single && about(single.dataset.host)) soon(300, rereadPage);
  if (about(one("dialog[data-for]")?.dataset.for)) soon(300, rereadDialog);
  const reading = one("#log-outcome :is([data-state=running], [data-state=sent])");
  if (type === "command_queued" && (single ? about(single.dataset.host) : !reading)) openLog("/hosts/" + frame.host + "/log");
  if (fragments.length) settle();
}
function wantAll() {
  if (single) return soon(0, rereadPage);
  if (!asked) socket.send('{"type":"full_state"}');
  return (asked = true);
}
function connect() {
  socket = new WebSocket(location.origin.replace(/^http/, "ws") + "/live");
  socket.onopen = () => {
    link.dataset.state = link.textContent = "live";
    asked = false;
  };
  socket.onmessage = (message) => receive(JSON.parse(message.data));
  socket.onclose = () => {
    link.dataset.state = link.textContent = "reconnecting";
    setTimeout(connect, 300 + 700 * Math.random());
    // The session may have ended: then this leads to the login page.
    ask("/keys");
  };
}

// ---- asking the dashboard ----
function note(html) {
  if (!html) return;
  byId("toasts").insertAdjacentHTML("beforeend", html);
  const last = byId("toasts").lastElementChild;
  if (!("stay" in last.dataset)) setTimeout(() => last.remove(), 8000);
}
function toast(text) {
  note("<p>");
  byId("toasts").lastElementChild.textContent = text;
}
// A piece of HTML; undefined if there is no such thing, null if something else went wrong.
async function ask(path, form) {
  try {
    const options = form && { method: "POST", body: new URLSearchParams(form) };
    const answer = await fetch(path, { ...options, headers: { "X-Fragment": "yes" } });
    const html = await answer.text();
    if (answer.redirected) location = "/login";
    else if (answer.ok || html.startsWith("<dialog")) return html;
    else toast(one("main p", Document.parseHTMLUnsafe(html))?.textContent ?? html);
    if (answer.status === 404) return;
  } catch {
    if (form || link.dataset.state === "live") toast("The dashboard cannot be reached.");
  }
  return null;
}
// Forms go where they would go without this script; what comes back is shown here.
async function send(form, button) {
  if (button.ariaBusy) return;
  button.ariaBusy = "true";
  const html = await ask(button.getAttribute("formaction") ?? form.action, new FormData(form, button));
  button.ariaBusy = null;
  if (html?.startsWith("<dialog")) return show(html);
  if (html == null) return;
  form.closest("dialog")?.close();
  if (form.id === "bar") pickAll(false);
  note(html);
}

// ---- dialogs ----
function show(html, path) {
  if (!html) return;
  one("dialog[open]")?.close();
  byId("dialogs").innerHTML = html;
  const dialog = one("dialog");
  dialog.path = path;
  dialog.showModal();
  tick(dialog);
}
const open = async (path) => show(await ask(path), path);

// ---- what users do ----
const clicks = {
  "[data-dialog-open]": (at) => open(at.href),
  "[data-log-open]": (at) => openLog(at.dataset.logOpen, one("dialog")?.close()),
  "#log-close": () => { byId("log").replaceChildren(); history.replaceState(null, "", location.pathname); settle(); },
  "[data-copy]": (at) => copy(byId(at.dataset.copy)),
  ".earlier": earlier,
  "#pick-none": () => pickAll(false),
};
on("click", (event) => {
  const at = event.target;
  at.closest("[popover] a, [popover] button")?.closest("[popover]").hidePopover();
  if (at.closest("#toasts a, [data-dismiss]")) at.closest("#toasts > *").remove();
  if (at.matches(".pick")) pick(at, event.shiftKey);
  if (at.id === "pick-all") pickAll(at.checked);
  const css = Object.keys(clicks).find((css) => at.closest(css));
  if (!css || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  clicks[css](at.closest(css));
});
on("submit", (event) => {
  const form = event.target, button = event.submitter;
  if (button?.getAttribute("formmethod") === "dialog" || form.method === "dialog") return;
  if (!form.matches("#act, #bar, #log-search, dialog form")) return;
  event.preventDefault();
  if (form.id === "log-search") openLog(form.action + "?" + new URLSearchParams(new FormData(form)));
  else send(form, button ?? one("[type=submit]", form));
});
on("input", ({ target }) => target === filter && arrange());
on("change", ({ target }) => (target === sort ? arrange() : target.id === "log-follow" && follow()));
on("close", ({ target }) => target.remove(), true);
on("scroll", ({ target }) => {
  if (target !== lines() || "search" in target.dataset) return;
  const now = target.scrollTop, end = now + target.clientHeight > target.scrollHeight - 9;
  if (end || now < target.before) byId("log-follow").checked = end;
  target.before = now;
  if (target.behind) follow();
}, true);
on("keydown", (event) => {
  const { key, target } = event;
  if (event.ctrlKey || event.metaKey || one("dialog") || target.matches("input:not([type=checkbox]), select")) return;
  const row = target.closest(".host"), rows = shown(), at = rows.indexOf(row);
  const keys = {
    "/": () => filter?.focus(),
    j: () => (rows[at + 1] ?? rows.at(-1))?.focus(),
    k: () => (rows[at - 1] ?? rows[0])?.focus(),
    x: () => row && one(".pick", row).click(),
    m: () => row && open("/hosts/" + row.dataset.host + "/menu"),
    "?": () => open("/keys"),
    Escape: () => one(".pick:checked") && pickAll(false),
  };
  if (keys[key]) keys[key](event.preventDefault());
});

if (hosts() || single) connect();
setInterval(tick, 1000);
tick();
settle();
follow();
