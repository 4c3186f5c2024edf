// What hands do: dialogs and menus, the selection, finding by Ctrl K, single keys. It is loaded with the
// first sign of a hand.
"use strict";

// ---- dialogs and menus ----
let opener, opening = 0;
// What is kept: a secret, and what was typed.
const typed = (box) => all("input:not([type=hidden]), textarea", box).some((at) => at.type !== "radio" && at.type !== "checkbox" && at.value !== at.defaultValue);
const kept = (box) => box && box.id !== "palette" && ("secret" in box.dataset || typed(box));
// One is open at a time. What is kept stays below what comes late; by: the one that was sent.
function showDialog(html, path, by) {
  if (!html) return;
  const box = parse(html), was = one("dialog[open]:last-child");
  if (was !== by && kept(was)) (box.localName === "dialog" ? was.after : was.append).call(was, box);
  else was?.close(), byId("dialogs").replaceChildren(box);
  box.path = path;
  box.opener = opener;
  ticked(box);
  if (box.localName === "dialog") return box.showModal(), settle(), box;
  box.showPopover({ source: opener });
  settle();
  one("[role=menuitem]:not(:disabled), [autofocus]", box)?.focus();
  return box;
}
const waiting = "<dialog class=dlg data-waiting closedby=any aria-label='Please wait'><div class=body><div class=skel></div><div class='skel short'></div><div class='skel mid'></div></div></dialog>";
// What was clicked last is shown, and is what this answers; a frame stands for it when it takes long.
async function open(path, from) {
  const mine = ++opening;
  // What was opened by a button of something open gives the focus back to where that came from.
  if (!from?.closest("#dialogs")) opener = from ?? document.activeElement;
  const frame = setTimeout(() => mine === opening && !path.endsWith("/menu") && showDialog(waiting), 150);
  const html = await ask(path, undefined, () => open(path, from));
  clearTimeout(frame);
  if (mine !== opening) return;
  one("[data-waiting]")?.close();
  return showDialog(html, path);
}
// What is hard to take back is asked once more, where it was clicked.
function sure(text, label, go, button) {
  if (!button.closest("#dialogs")) opener = button;
  showDialog("<div class='drop sure' popover role=alertdialog aria-labelledby=sure><p id=sure></p><button class='danger plain' type=button autofocus></button></div>");
  byId("sure").textContent = text;
  one(".sure button").textContent = label;
  one(".sure button").onclick = go;
}
// A secret is not lost by a key, typed text not by the first one; what was opened gives the focus back.
on("cancel", (event) => {
  const box = event.target;
  // What was waited for does not come any more.
  if ("waiting" in box.dataset) opening++;
  if ("secret" in box.dataset) return event.preventDefault();
  if (box.asked || !kept(box)) return;
  event.preventDefault();
  box.asked = true;
  one(".body", box).insertAdjacentHTML("beforeend", "<form class=once method=dialog role=alert><span>Discard what you typed?</span><button class=danger>Discard</button></form>");
  one(".once button", box).focus();
}, true);
addEventListener("beforeunload", (event) => one("dialog[data-secret]") && event.preventDefault());
on("close", ({ target }) => target.remove(), true);
on("toggle", ({ target, newState }) => {
  if (newState !== "closed" || !target.matches("#dialogs > *, #dialogs [popover]")) return;
  if (target.contains(document.activeElement) || document.activeElement === document.body) target.opener?.focus();
  target.remove();
}, true);
on("input", ({ target }) => {
  if (target.closest("#palette")) find();
  const must = target.dataset.must;
  if (must) one("button.danger", target.form).disabled = target.value.trim().toLowerCase() !== must.toLowerCase();
});
on("change", ({ target }) => {
  if (target.id === "stored") byId("go-on").disabled = !target.checked;
});
function copy(node) {
  getSelection().selectAllChildren(node);
  document.execCommand("copy");
  getSelection().removeAllRanges();
  toast("Copied.");
  byId("said")?.classList.remove("alert");
  if (byId("go-on") && "secret" in node.dataset) byId("go-on").disabled = false;
}

// ---- what is sent ----
// Forms go where they would go without this script; what comes back is shown here.
async function send(form, button, path, data) {
  if (button.sending || !allowed(button)) return;
  const host = path.match(/^\/hosts\/([^/]+)\/(commands|update)/)?.[1];
  // What waits for its host may begin tomorrow.
  for (const one of host ? [host] : path === "/rollouts" ? data.getAll("hosts[]") : []) started.set(one, path.includes("queue") ? Infinity : performance.now());
  button.sending = true;
  const busy = setTimeout(() => (button.ariaBusy = "true"), 150);
  byId("said")?.remove();
  const html = await ask(path, data);
  clearTimeout(busy);
  button.ariaBusy = button.sending = null;
  if (button.closest("#toasts")) byId("toasts").replaceChildren();
  const dialog = form.closest("dialog");
  if (html?.startsWith("<dialog")) return hand("showDialog", html, null, dialog);
  if (html == null) return;
  dialog?.close();
  if (hosts() && (form.id === "bar" || dialog?.dataset.dialog === "rollout")) hand("pickAll", false);
  note(html);
}
function allowed(button) {
  if (button.closest(".do, td")?.changed > performance.now() - 500) return false;
  return !app.stale || toast(notLive);
}
function next(at) {
  if (allowed(at)) open(at.href, at);
}
function submit(form, by, path, data) {
  const go = () => send(form, by, path, data);
  by.dataset.confirm && allowed(by) ? sure(by.dataset.confirm, by.textContent, go, by) : go();
}
// Below a dialog nothing is seen: there it is said in it.
function said(text) {
  const box = one("dialog[open]:last-child > .body");
  if (!box) return false;
  byId("said")?.remove();
  box.insertAdjacentHTML("afterbegin", "<p id=said class=alert role=alert></p>");
  byId("said").textContent = text;
  byId("said").scrollIntoView({ block: "nearest" });
  return true;
}

// ---- nothing moves under the pointer or the focus ----
// So it is where steps of a rollout have buttons, too.
const held = () => (mouse && one(".rolling:hover")) || one(".rolling :focus-visible");
// What stands above the rows does not push them from under the pointer.
function above(old, fresh) {
  const top = () => hosts().getBoundingClientRect().top, was = pointed() && top();
  change(old, fresh);
  const by = was === false ? 0 : was - top(), { style } = old;
  // Margins fall together.
  if (by) (style.marginBottom = by + "px"), (style.marginBottom = by + was - top() + "px"), soon(200, letGo);
}
function letGo() {
  if (single ? held() : pointed()) return soon(200, letGo);
  single ? rereadPage() : ["fleet-target", "rollouts"].forEach((id) => byId(id).removeAttribute("style"));
}

// ---- the view ----
function showOnly(what) {
  show = what;
  one("#view [name=show]").value = what;
  refilter(true);
}
function fold({ dataset: { group } }) {
  folds.delete(group) || folds.add(group);
  folded = [...folds].filter(Boolean).join();
  writeView();
  showAll();
}
addEventListener("popstate", () => {
  if (!hosts()) return;
  const q = new URLSearchParams(location.search), of = (name) => q.get(name) ?? "";
  of("group") !== group.value || of("log") !== (logged() || "") ? location.reload() : readView();
});

// ---- selection: the dashboard says what it means ----
let lastPick, selecting = 0;
async function select(deselected) {
  const mine = ++selecting, html = await ask("/selection", all(".pick:checked").map((pick) => ["hosts", pick.value]));
  if (!html || mine !== selecting) return;
  patch(byId("bar"), parse(html));
  byId("bar").hidden = !one("#bar b");
  if (deselected && byId("deselected")) byId("deselected").textContent = deselected + " hidden were deselected";
}
function pick(box, range) {
  const boxes = shown().map((row) => one(".pick", row));
  const [from, to] = [boxes.indexOf(lastPick), boxes.indexOf(box)].sort((a, b) => a - b);
  if (range && from >= 0) for (const other of boxes.slice(from, to)) other.checked = box.checked;
  lastPick = box;
  select();
}
function pickAll(on) {
  for (const row of on ? shown() : rows) one(".pick", row).checked = on;
  if (!on) byId("pick").classList.remove("picking");
  byId("pick-all").checked = on;
  select();
}
// On a phone a long press on a row shows the boxes.
let press;
on("pointerdown", ({ target, pointerType }) => {
  const row = target.closest("article");
  if (row && pointerType === "touch") press = setTimeout(() => byId("pick").classList.add("picking") ?? one(".pick", row).click(), 500);
});
for (const end of ["pointerup", "pointercancel"]) on(end, () => clearTimeout(press));

// ---- finding a host, or something to do ----
let finding = Promise.resolve();
function palette() {
  if (byId("palette")) return byId("palette").close();
  if (kept(one("dialog[open]:last-child"))) return;
  opener = document.activeElement;
  showDialog("<dialog class=pal id=palette closedby=any aria-label='Find a host or something to do'><div class=ask><input role=combobox aria-expanded=true aria-controls=pal-list aria-autocomplete=list aria-label='Find a host or something to do' placeholder='Host, or what to do' autocomplete=off maxlength=200><kbd>Esc</kbd></div><ul id=pal-list role=listbox aria-label=Found></ul><footer><span><kbd>↑</kbd><kbd>↓</kbd>choose</span><span><kbd>↵</kbd>open</span></footer></dialog>");
  find();
}
function find() {
  const { value } = one("#palette input"), mine = (find.last = {});
  finding = ask("/find?" + new URLSearchParams({ q: value })).then((html) => {
    if (!html || mine !== find.last || !byId("pal-list")) return;
    byId("pal-list").replaceWith(parse(html));
    ticked(byId("pal-list"));
    choose(0);
  });
}
function choose(by) {
  const options = all("#pal-list [role=option]"), at = options.findIndex((one) => one.ariaSelected === "true");
  const now = options[Math.max(0, Math.min(options.length - 1, at + by))];
  for (const one of options) one.ariaSelected = one === now;
  now?.scrollIntoView({ block: "nearest" });
  one("#palette input").setAttribute("aria-activedescendant", now?.id ?? "");
}
function take(option) {
  if (!option) return;
  const { go, open: path, logOf, send: to, op, confirm } = option.dataset;
  byId("palette").close();
  if (go) location = go;
  else if (path) open(path, opener);
  else if (logOf) hosts() || single?.dataset.host === logOf ? openLog("/hosts/" + logOf + "/log") : (location = "/?log=" + logOf);
  else if (app.stale) toast(notLive);
  else confirm ? sure(confirm, option.dataset.label, () => sendOne(to, op), one(".jump")) : sendOne(to, op);
}
async function sendOne(to, op) {
  started.set(to.split("/")[2], performance.now());
  const html = await ask(to, [["csrf_token", one("meta[name=csrf-token]").content], ["op", op]]);
  html?.startsWith("<dialog") ? showDialog(html) : note(html);
}
async function inPalette(event) {
  const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (by) event.preventDefault(), choose(by);
  // Whoever types fast means what the last answer will show.
  if (event.key === "Enter") event.preventDefault(), await finding, take(one("#pal-list [aria-selected=true]"));
}
clicks["#pal-list [role=option]"] = take;

// ---- how the page looks in this browser ----
function looks(chosen) {
  if (chosen) localStorage[chosen.dataset.look] = chosen.value;
  for (const key of ["theme", "density"]) document.documentElement.dataset[key] = localStorage[key] ?? "";
  for (const at of all("[data-look]")) at.ariaPressed = at.value === (localStorage[at.dataset.look] ?? "");
}

// ---- keys ----
function inMenu(event) {
  const items = all("[role=menuitem]:not(:disabled)", event.target.closest("[role=menu]")), at = items.indexOf(event.target);
  const { key } = event, after = [...items.slice(at + 1), ...items.slice(0, at)];
  const to = { ArrowDown: items[at + 1] ?? items[0], ArrowUp: items.at(at - 1), Home: items[0], End: items.at(-1) }[key] ??
    after.find((item) => item.textContent.trim().toLowerCase()[0] === key);
  if (key === "Tab") return event.target.closest("[popover]").hidePopover();
  if (!to) return;
  event.preventDefault();
  to.focus();
}
// The list is one tab stop, and so is the strip: Tab leads to the row where one was last, and out of the list.
let tabbed = false, last;
on("focusin", ({ target, relatedTarget }) => {
  const row = target.closest("article"), inside = hosts()?.contains(relatedTarget);
  if (tabbed && hosts()?.contains(target) && !inside) (last?.checkVisibility() ? last : shown()[0])?.focus();
  else if (row || target.closest(".grp")) last = row ?? target;
});
on("keyup", () => (tabbed = false));
function tab(target) {
  tabbed = true;
  // What is inert is passed over; where the focus was, the browser goes on.
  const box = target.closest("#hosts, .stats");
  if (box) (box.inert = true), setTimeout(() => (box.inert = false));
}
let went = -9999;
const places = { f: "/", r: "/rollouts", a: "/events", s: "/settings" };
function key(event) {
  const { key, target } = event, row = target.closest("article"), head = target.closest(".grp");
  if ((event.ctrlKey || event.metaKey) && key.toLowerCase() === "k") return palette();
  if (target.closest("#palette")) return inPalette(event);
  if (target.closest("[role=menu]")) return inMenu(event);
  if (target === filter && key === "Enter") return event.preventDefault(), shown()[0]?.focus();
  if (target === filter && key === "Escape") return filter.value ? ((filter.value = ""), refilter()) : filter.blur();
  if (event.ctrlKey || event.metaKey || event.altKey || one("dialog, #dialogs [popover]:popover-open, #user-menu:popover-open")) return;
  if (key === "Tab") return tab(target);
  if (target.matches("input:not([type=checkbox]), select, textarea") || (key.length === 1 && localStorage.keys === "off")) return;
  const to = performance.now() - went < 1500 && places[key];
  went = key === "g" ? performance.now() : -9999;
  if (to) return event.preventDefault(), (location = to);
  if (key === "?") return event.preventDefault(), open("/keys");
  if (!hosts()) return;
  const list = all("#hosts :is(article, .grp):not([hidden])"), at = list.indexOf(row ?? head), go = (what) => open("/hosts/" + row.dataset.host + "/" + what, one(".more", row));
  // The menu has a button for what a row does not show.
  const act = (op) => go("menu").then((box) => box && one("[data-op=" + op + "]:not(:disabled)", box)?.click());
  const sides = ["tabs", "bottom", "side", "full"], dock_ = (by) => dock(sides[Math.min(3, Math.max(0, sides.indexOf(app.dataset.dock) + by))]);
  const walk = (to) => to && (to.matches(".grp") ? folder(to) : to).focus(), ops = { u: "update", p: "pull", s: "switch", t: "test" };
  const parts = all("a, button, input", row ?? head ?? app), part = (by) => walk(parts[parts.indexOf(target) + by] ?? row);
  const keys = {
    "/": () => filter.focus(), "[": () => dock_(-1), "]": () => dock_(1),
    j: () => walk(at < 0 ? shown()[0] : list[at + 1]), k: () => walk(at < 0 ? shown()[0] : list[at - 1]),
    Escape: one(".pick:checked") && (() => pickAll(false)),
  }, ofList = { ArrowDown: keys.j, ArrowUp: keys.k, ArrowRight: () => part(1), ArrowLeft: () => part(-1) }, ofRow = {
    Enter: row === target && (() => (location = "/hosts/" + row.dataset.host)),
    x: () => one(".pick", row).click(), m: () => go("menu"), b: () => go("rollback"), h: () => go("hold"), n: () => step(row)?.click(),
    F10: event.shiftKey && (() => go("menu")), ContextMenu: () => go("menu"),
    l: () => openLog("/hosts/" + row.dataset.host + "/log"), X: () => (one(".pick", row).checked = true, pick(one(".pick", row), true)),
  };
  if (target.closest(".stats") && key.startsWith("Arrow"))
    walk(key === "ArrowRight" ? target.nextElementSibling : key === "ArrowLeft" && target.previousElementSibling);
  const what = keys[key] || ((row || head) && ofList[key]) || (row && (ofRow[key] || (ops[key] && (() => act(ops[key]))) || (key > 0 && key < 6 && (() => one(".five a:nth-child(" + key + ")", row).click()))));
  if (what) event.preventDefault(), what();
}
handy = true;
