// The theme and the height of rows that this browser was asked for, and the size of the log, before
// anything is drawn.
const { dataset, style } = document.documentElement;
for (const key of ["theme", "density"]) dataset[key] = localStorage[key] ?? "";
if (localStorage.dockH) style.setProperty("--dock-h", localStorage.dockH + "vh");
if (localStorage.dockW) style.setProperty("--dock-w", localStorage.dockW + "vw");
