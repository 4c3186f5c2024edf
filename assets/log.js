// The log: opening, following, searching, its size and its place. It is loaded with the first log.
"use strict";

log = (() => {
  const following = () => byId("log-follow")?.checked, root = document.documentElement;
  let loading = null;
  // While a log is fetched, what comes for it is held back.
  async function open(path) {
    const mine = (loading = {}), html = await ask(path);
    if (loading !== mine) return;
    loading = null;
    if (html && byId("log")) {
      byId("log").outerHTML = html;
      ticked(byId("log"));
      if (lines() && app.dataset.dock === "tabs") dock(localStorage.dock ?? (single ? "side" : "bottom"));
      begin();
      if (hosts()) writeView();
    }
    settle();
    append();
  }
  function dock(how) {
    app.dataset.dock = how;
    if (how !== "tabs") localStorage.dock = how;
    for (const at of all(".tabs [data-dock]")) at.ariaPressed = at.dataset.dock === how;
    const first = one("#log-tabs a");
    if (how !== "tabs" && !lines() && first) open(first.dataset.logOpen);
    if (hosts()) writeView();
    tellSize();
    follow();
  }
  const whole = () => open("/commands/" + lines().dataset.command + "/log");
  // Read again after a gap. Who reads further up, or what was searched, is left alone.
  async function again() {
    const box = lines(), top = !following() && box?.scrollTop;
    if (!box || box.behind || "search" in box.dataset) return;
    await whole();
    if (top === false || !lines()) return;
    byId("log-follow").checked = false;
    lines().scrollTop = top;
  }
  // A log begins at its end, or at the line that was asked for.
  function begin() {
    wrap();
    const at = one("#log-lines [data-here]");
    if (lines() && "behind" in lines().dataset) lines().behind = true;
    at ? at.scrollIntoView({ block: "center" }) : follow();
  }
  function follow() {
    const box = lines();
    if (!box || !following()) return;
    if (box.behind) whole();
    else box.scrollTop = box.scrollHeight;
  }
  function append() {
    const box = lines();
    let html = "", count = 0;
    for (const frame of loading ? [] : frames.splice(0)) {
      for (const one of frame.fragments ?? []) if (one.id.startsWith("outcome-")) swap(one);
      if (!frame.html || box?.dataset.command !== frame.command_id || box.behind) continue;
      const last = +box.dataset.lastSeq, end = frame.first_seq + frame.count - 1;
      if (end > last && !("search" in box.dataset)) {
        if (frame.first_seq !== last + 1) return again();
        box.dataset.lastSeq = end;
        html += frame.html;
        count += frame.count;
      }
    }
    if (!html) return;
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
  on("scroll", ({ target }) => {
    if (target !== lines() || "search" in target.dataset) return;
    const now = target.scrollTop, end = now + target.clientHeight > target.scrollHeight - 9;
    if (end || now < target.before) byId("log-follow").checked = end;
    target.before = now;
    if (target.behind) follow();
  }, true);

  // ---- how long lines are shown ----
  function wrap(toggle) {
    if (toggle) localStorage.wrap = localStorage.wrap === "off" ? "" : "off";
    const off = localStorage.wrap === "off";
    lines()?.classList.toggle("long", off);
    if (byId("log-wrap")) byId("log-wrap").ariaPressed = !off;
  }

  // ---- its size: a share of the window, in percent ----
  const grip = one(".grip"), isSide = () => app.dataset.dock === "side";
  const size = () => +(localStorage[isSide() ? "dockW" : "dockH"] || (isSide() ? 36 : 40));
  function tellSize() {
    grip?.setAttribute("aria-valuenow", size());
    grip?.setAttribute("aria-orientation", isSide() ? "vertical" : "horizontal");
  }
  function resize(percent) {
    const now = Math.round(Math.max(15, Math.min(85, percent)));
    localStorage[isSide() ? "dockW" : "dockH"] = now;
    root.style.setProperty(isSide() ? "--dock-w" : "--dock-h", now + (isSide() ? "vw" : "vh"));
    tellSize();
  }
  const drag = ({ clientX, clientY }) => resize(100 * (isSide() ? 1 - clientX / innerWidth : 1 - clientY / innerHeight));
  grip?.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    grip.setPointerCapture(event.pointerId);
    grip.onpointermove = drag;
  });
  grip?.addEventListener("lostpointercapture", () => (grip.onpointermove = null));
  grip?.addEventListener("keydown", (event) => {
    const by = { ArrowUp: 5, ArrowLeft: 5, ArrowDown: -5, ArrowRight: -5 }[event.key], to = { Home: 15, End: 85 }[event.key] ?? size() + by;
    if (Number.isNaN(to)) return;
    event.preventDefault();
    event.stopPropagation();
    resize(to);
  });

  // ---- the number of a line is a link to it: one link, which goes where the pointer is ----
  const link = parse("<a class=to></a>");
  on("pointerover", ({ target }) => {
    const line = target.closest("#log-lines .line"), { log: host, command } = lines()?.dataset ?? {};
    if (!line || line === link.parentNode) return;
    link.href = "/hosts/" + host + "?command=" + command + "&line=" + line.dataset.seq + "#line";
    link.title = link.ariaLabel = "Line " + line.dataset.seq + ": a link to it";
    line.append(link);
  });

  tellSize();
  begin();
  return { open, dock, append, again, follow, earlier, wrap, isLoading: () => !!loading };
})();
append();
