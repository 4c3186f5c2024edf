// Swaps what the dashboard rendered, keeps the version, ticks times, orders and filters rows, and
// asks the dashboard. It decides nothing about hosts. What hands do and the log have files of their
// own, which are loaded when they are used.
"use strict";

const byId = (id) => document.getElementById(id);
const one = (css, root = document) => root.querySelector(css);
const all = (css, root = document) => [...root.querySelectorAll(css)];
const on = (type, what, capture) => document.addEventListener(type, what, capture);
const [link, icon, filter, group, sort, lost, resort] =
  ["link", "icon", "filter", "group", "sort", "lost", "resort"].map(byId), title = document.title, fine = icon.href;
const app = one(".app"), calm = matchMedia("(prefers-reduced-motion: reduce)");
// A page is the fleet's, or one that is read again when something happened; others are not live.
const hosts = () => byId("hosts"), single = byId("host-page") ?? byId("rollouts-page"), rows = hosts()?.getElementsByTagName("article") ?? [];
let version = +(hosts() || single)?.dataset.version, socket, asked = false;

// What is loaded when it is used.
let log = null, handy = false;
const own = document.currentScript;
const need = (name) => (need[name] ??= new Promise((done) => (function load() {
  const script = document.createElement("script");
  script.src = own.dataset[name];
  script.onload = done;
  // Whoever waits for it is told, and can try again.
  script.onerror = () => (need.waits ? toast("The dashboard cannot be reached.", load) : (need[name] = null));
  document.head.append(script);
})()));
const late = (name) => ((need.waits = true), need(name));
const openLog = (path) => late("log").then(() => log.open(path));
const dock = (how) => late("log").then(() => log.dock(how));
const hand = (what, ...given) => late("hands").then(() => window[what](...given));

const soon = (wait, what) => (what.timer ??= setTimeout(() => what(void (what.timer = null)), wait));

// ---- time ----
const instant = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
const units = [[86400, " d"], [3600, " h"], [60, " min"], [1, " s"]];
function lasting(seconds) {
  const [size, name] = units.find(([size]) => seconds >= size) ?? units[3];
  return Math.floor(seconds / size) + name;
}
function tick(times = document.getElementsByTagName("time")) {
  const now = Date.now();
  for (const time of times) {
    // What is a day old need not be looked at every second.
    if (time.due > now && time.of === time.dateTime) continue;
    const at = Date.parse((time.of = time.dateTime)), passed = Math.max(0, Math.round((now - at) / 1000));
    if (isNaN(at)) continue;
    time.due = now + (passed < 120 ? 500 : passed < 7200 ? 15000 : 600000);
    const text = "elapsed" in time.dataset ? lasting(passed) : passed ? lasting(passed) + " ago" : "now";
    if (!("clock" in time.dataset) && time.textContent !== text) time.textContent = text;
    if (time.titled !== at) time.title = instant.format((time.titled = at));
    const row = time.parentNode.className === "pulse" && time.closest("article:not([data-online=false])");
    if (row) row.dataset.online = passed > (row.dataset.late ?? 60) ? "stale" : "true";
  }
}
const reselect = () => hand("select");
const ticked = (node) => node && tick(all("time", node));

// ---- swapping: what the user opened, typed or chose stays as it is ----
const ours = ["aria-busy", "aria-current", "aria-expanded", "aria-disabled"];
const stays = (name, node, value) =>
  ours.includes(name) || (name === "open" && node.matches("details, dialog")) ||
  (value === "true" && node.dataset.online === "stale") ||
  (name === "title" && node.titled) || (name === "hidden" && node.matches("article, .grp, #bar")) ||
  (name === "tabindex" && node.closest("article"));
const parse = (html) => {
  const box = document.createElement("template");
  box.innerHTML = html;
  return box.content.firstElementChild;
};
// A row as the dashboard would have written it: without the times that tick and what is ours.
const bare = (node) =>
  node.nodeType === 3 ? node.data : node.outerHTML
    .replace(/( title="[^"]*")?>[^<]*<\/time>/g, "></time>").replace(/ (aria-busy|aria-disabled|tabindex)="[^"]*"/g, "");
// What stays the same thing wherever it stands: by its id, or by what it is about.
const keyOf = (node) => node.id || node.dataset?.of;
const move = (box, node, before) => (box.moveBefore && node.isConnected ? box.moveBefore(node, before) : box.insertBefore(node, before));
const same = (a, b) => a.isEqualNode(b) || bare(a) === bare(b);
// What a click there would do.
const acts = (node) => all("[data-op]", node).map((at) => at.dataset.op + at.getAttribute("formaction")).join();
// Only what differs is touched, so the rest keeps its focus, its motion and what was typed.
function patch(old, fresh) {
  if (old.matches("input:not([type=hidden]), select") && old.name === fresh.name) return;
  // Whoever clicks twice must not start one thing and stop it.
  if (old.matches(".do, td") && acts(old) !== acts(fresh)) old.changed = performance.now();
  for (const { name, value } of fresh.attributes)
    if (old.getAttribute(name) !== value && !stays(name, old, value)) old.setAttribute(name, value);
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && !stays(name, old)) old.removeAttribute(name);
  const [a, b] = [old, fresh].map((node) => [...node.childNodes].filter(({ id }) => id !== "said"));
  let from = 0;
  while (a[from] && b[from] && same(a[from], b[from])) from++;
  a.splice(0, from), b.splice(0, from);
  while (a.length && b.length && same(a.at(-1), b.at(-1))) a.pop(), b.pop();
  const end = a.length ? a.at(-1).nextSibling : (old.childNodes[from] ?? null), still = handy && old.matches("tbody, #rollouts-page") && held();
  const known = new Map(a.map((one) => [keyOf(one), one])), rest = a.filter((one) => !keyOf(one));
  let next = 0;
  const pairs = b.map((node) => {
    const at = keyOf(node) ? -1 : rest.findIndex((old, at) => at >= next && old.localName === node.localName);
    const mate = at < 0 ? keyOf(node) && known.get(keyOf(node)) : rest[(next = at + 1) - 1];
    return [node, mate && ((node.localName && node.localName !== "time" && mate.localName === node.localName) || same(mate, node)) ? mate : null];
  });
  const kept = new Set(pairs.map(([, mate]) => mate));
  for (const node of a) if (!kept.has(node)) still ? (node.inert = true) : node.remove();
  if (still) soon(200, letGo);
  let at = still ? end : (a.find((node) => kept.has(node)) ?? end);
  for (const [node, mate] of pairs) {
    if (mate && !same(mate, node)) patch(mate, node);
    if (mate && mate === at) at = at.nextSibling;
    else if (!mate || !still) move(old, mate || node, at);
  }
}
// The focus stays where it was, or goes to what is next to that.
function change(old, fresh) {
  const around = [], controls = (at) => step(at) ?? one("a, button", at);
  for (let at = document.activeElement; at && at !== document.body; at = at.parentNode) around.push(at);
  patch(old, fresh);
  ticked(old);
  if (around.indexOf(old) > 0 && !old.contains(document.activeElement))
    controls(around.find((at) => old.contains(at) && controls(at)) ?? old)?.focus({ preventScroll: true });
}
const step = (row) => one(".do > :not(.more)", row);
function swapRow(old, html) {
  const was = old.dataset.standing;
  change(old, parse(html));
  old.found = null;
  if (was !== old.dataset.standing || fits(old) !== old.fits) dirty.add(old);
}
function swap({ id, html, after }) {
  const old = byId(id);
  if (!html) return old && (dirty.add(old), old.remove());
  if (old?.localName === "article") return swapRow(old, html);
  if (old) (handy && old.matches("#fleet-target, #rollouts") ? above : change)(old, parse(html));
  else if (after !== undefined && hosts()) {
    const row = parse(html);
    row.hidden = true;
    hosts().append(row);
    dirty.add(row);
    ticked(row);
  }
}
// A motion of a pseudo-element makes the browser work out styles: once a frame, and only where it is seen.
const beats = new Set();
function flash() {
  const seen = [...beats].filter((row) => row.getBoundingClientRect().bottom > 0 && row.getBoundingClientRect().top < innerHeight);
  for (const row of seen) one(".who", row).animate({ scale: ["1.6", "1"] }, { duration: 600, pseudoElement: "::before" });
  beats.clear();
}
function beat({ id, html }) {
  const pulse = byId(id), row = pulse?.closest("article");
  if (!row) return;
  patch(pulse, parse(html));
  if (!row.hidden && !calm.matches) beats.add(row), beats.size < 2 && requestAnimationFrame(flash);
  ticked(pulse);
}

// What surrounds the rows follows them.
function settle() {
  const failed = +one("[data-failed]")?.dataset.failed, now = (failed ? "(" + failed + " failed) " : "") + title + (lost?.hidden === false ? " (not live)" : "");
  if (document.title !== now) document.title = now;
  const face = failed ? icon.dataset.alarm : fine;
  if (icon.href !== face) icon.href = face;
  const shown = lines()?.dataset.log;
  for (const tab of byId("log-tabs")?.children ?? []) if ((tab.ariaCurrent === "true") !== (tab.dataset.for === shown)) tab.ariaCurrent = tab.dataset.for === shown;
  for (const n of all("dialog [data-at]")) n.hidden = one(n.dataset.at);
  if (dirty.size) arrange();
  if (one("#bar b")) soon(300, reselect);
}

// ---- the view: what is shown, in which groups and order. The address holds it ----
const dirty = new Set();
let show = "", words = [], folds, folded, aside = null, clicked = -9999, mouse = false;
const heads = () => all(".grp");
const begins = (row) => row.dataset.host.match(/^[^-_.\d]*/)[0];
const headOf = (row, known) => known.find(({ dataset }) => (dataset.begins ? dataset.begins === begins(row) : row.matches(dataset.rows)));
// The same words as the dashboard finds a host by.
const found = (row) => (row.found ??= [row.dataset.host, one(".who", row).textContent, one(".who i", row)?.className.slice(5),
  one("[data-show=" + row.dataset.standing + "]")?.title, ...all(".why span, .gen code", row).map((at) => at.textContent)].join(" ").toLowerCase());
// A tag is meant whole.
const says = (row, word) => (word.startsWith("tag:") ? row.dataset.tags?.split(" ").includes(word.slice(4)) : found(row).includes(word));
const fits = (row) => (!show || row.dataset.standing === show) && words.every((word) => says(row, word));
const order = (row) => (sort.value ? (one(".pulse time", row)?.dateTime ?? "") : "") + row.id;
const folder = (head) => one("[data-group]", head);
const isOpen = (head) => show || !head || !folds.has(folder(head).dataset.group);
const pointed = () =>
  (mouse && one("#pick:hover")) || one("#pick :focus-visible, [popover]:popover-open:not(#user-menu), dialog[open]") ||
  performance.now() - clicked < 1000;
// Nothing moves under the pointer or the focus: what changed waits, and is counted.
function arrange() {
  if (!hosts()) return dirty.clear();
  resort.hidden = true;
  if (pointed()) {
    resort.hidden = false;
    one("span", resort).textContent = dirty.size + (dirty.size > 1 ? " hosts" : " host") + " changed: sort again";
    return soon(200, arrange);
  }
  arrangeAll();
}
function arrangeAll() {
  const sorted = [...rows].map((row) => [order(row), row]).sort(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row);
  const known = heads(), groups = new Map([...known, undefined].map((head) => [head, []]));
  for (const row of sorted) groups.get(headOf(row, known)).push(row);
  const wanted = [...groups].flatMap(([head, rows]) => (head ? [head, ...rows] : rows));
  let at = hosts().querySelector("article, .grp");
  for (const node of wanted) at === node ? (at = at.nextElementSibling) : move(hosts(), node, at);
  dirty.clear();
  showAll();
}
function showAll() {
  const some = new Set(), known = heads();
  let hidden = 0, shown = 0;
  for (const row of rows) {
    const head = headOf(row, known), now = !((row.fits = fits(row)) && isOpen(head));
    if (row.fits) some.add(head);
    if (row.hidden !== now) row.hidden = now;
    if (now && one(".pick", row).checked) hidden += 1, (one(".pick", row).checked = false);
    shown += !now;
  }
  for (const head of known) (head.hidden = !some.has(head)), (folder(head).ariaExpanded = !!isOpen(head));
  byId("none-found").hidden = !rows.length || some.size > 0;
  byId("pick-all").title = "Select " + shown + " shown";
  for (const at of all("#fleet-summary a")) at.ariaCurrent = at.dataset.show === show ? "true" : null;
  resort.hidden = true;
  if (hidden) hand("select", hidden);
}
function readView() {
  const q = new URLSearchParams(location.search);
  show = q.get("show") ?? "";
  filter.value = q.get("q") ?? "";
  sort.value = q.get("sort") ?? "";
  folded = q.get("fold");
  words = told();
  sift();
}
const logged = () => app.dataset.dock !== "tabs" && lines()?.dataset.command;
function writeView(push) {
  const q = new URLSearchParams();
  const set = (name, value) => value && q.set(name, value);
  set("show", show), set("q", filter.value.trim()), set("group", group.value), set("sort", sort.value);
  if (folded !== null) q.set("fold", folded);
  set("log", logged());
  const path = "/" + (q.size ? "?" + q : "");
  if (path !== location.pathname + location.search) history[push ? "pushState" : "replaceState"](null, "", path);
}
// Words open what is folded; who folds a group then means it.
const told = () => filter.value.toLowerCase().match(/\S+/g) ?? [];
function sift() {
  folds = new Set((folded ?? (words.length ? "" : one("#view [name=fold]").value)).split(","));
  arrangeAll();
}
function refilter(push) {
  const [had] = words;
  words = told();
  if (!had !== !words.length) [folded, aside] = had ? [aside, null] : [null, folded];
  writeView(push);
  sift();
}

const shown = () => [...rows].filter((row) => !row.hidden);

// ---- the log: what came for it, until its own file is there ----
const lines = () => byId("log-lines");
let frames = [];
function append() {
  if (log) log.append();
  else if (!lines() || frames.length > 500) frames = [];
}
// ---- a host's page, or a dialog, is read again soon after something happened to its host ----
async function reread(node, path) {
  const html = path ? await ask(path) : null;
  if (html === undefined) return node === single ? (location = "/") : node.remove();
  if (!html || !node.isConnected) return;
  const fresh = parse(html), beside = fresh.nextElementSibling;
  // Not what was asked for before, and came after.
  if (+fresh.dataset.version < +node.dataset.version) return;
  change(node, fresh);
  if (beside) patch(byId(beside.id), beside);
  settle();
}
const rereadPage = () => reread(single, location.href), rereadLoad = () => rereadPage();
const rereadDialog = (box = byId("dialogs").lastElementChild) => box && reread(box, box.path);

// ---- the live connection ----
const started = new Map();
function receive(frame) {
  const { type, fragments = [] } = frame;
  if (type === "host_heartbeat") {
    if (fragments.some(({ id }) => id === "pulse-" + single?.dataset.host)) soon(5000, rereadLoad);
    return fragments.forEach(beat);
  }
  if (type === "toast") {
    const old = one("#toasts [data-key=" + frame.key + "]");
    return frame.html ? (frame.count || old) && note(frame.html) : old?.remove();
  }
  if (type === "init" || type === "sync") return frame.version !== version && wantAll(frame.version);
  if (type === "full_state") {
    asked = false;
    again();
  // A page that is read again takes every frame: what it missed it reads.
  } else if (!single && (asked || frame.version <= version)) return;
  else if (!single && frame.version !== version + 1) return wantAll();
  version = frame.version;
  fragments.forEach(swap);
  if (type === "full_state" && hosts()) {
    const known = new Set(fragments.map(({ id }) => id));
    for (const row of [...rows]) if (!known.has(row.id)) swap(row);
  }
  if (log?.isLoading() || frame.html) frames.push(frame);
  if (frame.html) return soon(50, append);
  const about = (host) => frame.host === host || fragments.some(({ id }) => id === "host-" + host || id === "fleet-target");
  if (single && (about(single.dataset.host) || fragments.some(({ id }) => one('[data-of="' + id + '"]')))) soon(300, rereadPage);
  if (about(byId("dialogs").lastElementChild?.dataset.for)) soon(300, rereadDialog);
  if (type === "command_queued") mine(frame.host);
  if (fragments.length) soon(50, settle);
}
// A log opens by itself only where somebody clicked for it, and does not read another one.
function mine(host) {
  if (single && host !== single.dataset.host) return;
  const clicked = started.get(host) > performance.now() - 10000;
  const reading = app.dataset.dock !== "tabs" && one("#log-outcome :is([data-state=running], [data-state=sent])");
  if (clicked && !reading) openLog("/hosts/" + host + "/log").then(() => lines()?.dataset.log === host && started.delete(host));
}
function wantAll(at) {
  if (single) return (single.dataset.version = version = at), soon(0, rereadPage), again();
  if (!asked) socket.send('{"type":"full_state"}');
  asked = true;
}
const again = () => lines() && need("log").then(() => log?.again());
// While the page is not live it says so, and starts nothing.
let cut = null;
function live(is) {
  link.dataset.state = link.textContent = is ? "live" : "reconnecting";
  if (!is) return (cut ??= setTimeout(stale, 2000, new Date()));
  clearTimeout(cut);
  cut = null;
  if (lost) lost.hidden = true;
  stale();
}
const notLive = "Not live: nothing can be started until the connection is back.";
function stale(at) {
  app.stale = !!at;
  if (lost && at) {
    lost.hidden = false;
    one("span", lost).textContent = "Not live since " + at.toLocaleTimeString() + ". Trying again. What you see may be old.";
  }
  document.body.classList.toggle("stale", !!at);
  for (const button of all("[form=act], .next, #bar button[name], .grp .button, [data-op=update-all], [data-op=add-host]"))
    button.ariaDisabled = at ? "true" : null;
  settle();
}
function connect() {
  socket = new WebSocket(location.origin.replace(/^http/, "ws") + "/live");
  socket.onopen = () => live(!(asked = false));
  socket.onmessage = (message) => receive(JSON.parse(message.data));
  socket.onclose = () => {
    live(false);
    setTimeout(connect, 300 + 700 * Math.random());
    // The session may have ended: then this leads to the login page.
    ask("/keys");
  };
}

// ---- asking the dashboard ----
// There is one note at most; it goes away unless somebody points at it.
function note(html) {
  if (!html) return;
  byId("toasts").innerHTML = html;
  clearTimeout(note.timer);
  const away = () => (one("#toasts:hover") ? (note.timer = setTimeout(away, 1000)) : byId("toasts").replaceChildren());
  note.timer = setTimeout(away, 8000);
}
function toast(text, retry) {
  if (handy && said(text)) return;
  note("<div class=toast><span></span></div>");
  one("#toasts span").textContent = text;
  if (!retry) return;
  one("#toasts .toast").insertAdjacentHTML("beforeend", "<button class=ghost type=button data-dismiss>Retry</button>");
  one("#toasts button").onclick = retry;
}
// A piece of HTML; undefined if there is no such thing, null if something else went wrong.
async function ask(path, form, retry) {
  try {
    const sent = form && { method: "POST", body: new URLSearchParams(form) };
    const answer = await fetch(path, { ...sent, headers: { "X-Fragment": "yes" }, signal: AbortSignal.timeout(20000) });
    const html = await answer.text();
    // The session is over: the dashboard leads this address to the login, and back to it.
    if (answer.redirected) location = location.pathname + location.search;
    else if (answer.ok || html.startsWith("<dialog")) return html;
    else toast(one("main .page p", Document.parseHTMLUnsafe(html))?.textContent ?? html);
    if (answer.status === 404) return;
  } catch (error) {
    const text = error.name === "TimeoutError" ? "Still no answer after 20 s." : "The dashboard cannot be reached.";
    if (form || retry || link.dataset.state === "live") toast(text, retry);
  }
  return null;
}
// ---- what users do ----
const clicks = {
  "[data-dialog-open], .five a, .five2 a, a[data-op=menu]": (at) => hand("open", at.href, at),
  "[data-log-open]": (at) => openLog(at.dataset.logOpen, one("dialog")?.close()),
  ".why a": (at) => openLog("/hosts/" + at.closest("article").dataset.host + "/log"),
  "a.next": (at) => app.stale ? toast(notLive) : hand("next", at),
  "#log-wrap": () => log?.wrap(true),
  "#log-close": () => { byId("log").replaceChildren(); dock("tabs"); settle(); },
  "[data-copy]": (at) => hand("copy", byId(at.dataset.copy)),
  "[data-look]": (at) => hand("looks", at),
  ".tabs [data-dock]": (at) => dock(at.dataset.dock),
  "[data-show]": (at) => hosts() ? hand("showOnly", at.dataset.show) : (location = at.href),
  "#none-found a": () => { filter.value = ""; hand("showOnly", ""); },
  "[data-group]": (at) => hand("fold", at),
  "#resort": () => { clicked = -9999; arrangeAll(); },
  ".earlier": (at) => log?.earlier(at),
  ".jump": () => hand("palette"),
  "#pick-none": () => hand("pickAll", false),
};
on("pointermove", ({ pointerType }) => (mouse = pointerType === "mouse"));
on("click", (event) => {
  const at = event.target;
  if (at.closest("#pick")) clicked = performance.now();
  const css = Object.keys(clicks).find((css) => at.closest(css));
  at.closest("[popover] a, [popover] button")?.closest("[popover]").hidePopover();
  if (at.closest("#toasts a, [data-dismiss]")) at.closest("#toasts > *")?.remove();
  if (at.matches(".pick")) hand("pick", at, event.shiftKey);
  if (at.id === "pick-all") hand("pickAll", at.checked);
  if (!css || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  clicks[css](at.closest(css));
});
on("submit", (event) => {
  const form = event.target, button = event.submitter;
  if (button?.getAttribute("formmethod") === "dialog" || form.method === "dialog") return;
  if (form.id === "view") return event.preventDefault();
  if (!form.matches("#act, #bar, #log-search, #dialogs form")) return;
  event.preventDefault();
  if (form.id === "log-search") openLog(form.action + "?" + new URLSearchParams(new FormData(form)));
  else if (app.stale) toast(notLive);
  else {
    // What was clicked is what is sent, whatever its button says by then.
    const by = button ?? one("[type=submit]", form), data = new FormData(form, by), path = by.getAttribute("formaction") ?? form.getAttribute("action");
    hand("submit", form, by, path, data);
  }
});
on("input", ({ target }) => {
  if (target === filter) refilter();
});
on("change", ({ target }) => {
  if (target === sort) refilter();
  if (target === group) writeView(), location.reload();
  if (target.id === "log-follow") log?.follow();
});
on("keydown", (event) => {
  const isFind = (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k";
  if (isFind || (event.key === "/" && !handy && event.target === document.body)) event.preventDefault();
  handy ? key(event) : event.key !== "Tab" && hand("key", event);
});
// The first sign of a hand.
for (const sign of ["pointermove", "pointerdown", "focusin", "keydown"]) addEventListener(sign, () => need("hands"), { once: true });

if (hosts()) {
  if (app.dataset.dock !== "tabs") app.dataset.dock = localStorage.dock ?? "bottom";
  readView();
} else if (lines() && app.dataset.dock === "tabs" && innerWidth > 1180) dock(localStorage.dock === "bottom" ? "bottom" : "side");
if (lines()) need("log");
if (one("[data-look]")) hand("looks");
if (hosts() || single) connect();
setInterval(tick, 1000);
tick();
settle();
