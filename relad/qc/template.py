"""The quality page's HTML, style and script; :mod:`relad.qc.page` fills in the double braces."""

# ruff: noqa: E501
PAGE = r"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Quality: {{title}}</title>
<style>
:root { color-scheme: light dark; --line: #8886; --soft: #8882; --ok: #1a7f37; --partial: #9a6700; --excluded: #cf222e; }
* { box-sizing: border-box; }
body { margin: 0; font: 14px/1.35 system-ui, sans-serif; height: 100vh; display: grid;
  grid-template: auto 1fr / minmax(0, 1fr) minmax(320px, 42vw); }
header { grid-column: 1 / -1; padding: .5rem .8rem; border-bottom: 1px solid var(--line);
  display: flex; flex-wrap: wrap; gap: .5rem .9rem; align-items: center; }
h1 { font-size: 1.1rem; margin: 0; }
.note { color: var(--excluded); font-weight: 600; }
header button, header input { font: inherit; padding: .15rem .5rem; }
header button[aria-pressed=true] { outline: 2px solid; }
kbd { border: 1px solid var(--line); border-radius: 3px; padding: 0 .25em; font: inherit; }
#list { overflow: auto; }
table { border-collapse: collapse; white-space: nowrap; }
th, td { padding: .2rem .5rem; border-bottom: 1px solid var(--soft); text-align: left; }
th { position: sticky; top: 0; background: Canvas; z-index: 1; vertical-align: bottom; }
th button { all: unset; cursor: pointer; white-space: normal; display: inline-block; max-width: 6.5rem; }
th button:focus-visible { outline: 2px solid; }
th[aria-sort=ascending] button::after { content: " \25B2"; }
th[aria-sort=descending] button::after { content: " \25BC"; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
.outside { color: var(--excluded); font-weight: 700; }
td.reason { max-width: 22rem; overflow: hidden; text-overflow: ellipsis; }
td.status { font-weight: 600; }
td.ok { color: var(--ok); } td.partial { color: var(--partial); } td.excluded { color: var(--excluded); }
tr[aria-selected=true] td { background: #3b82f633; }
tr[data-mark=good] td.subject::before { content: "\2713 "; }
tr[data-mark=bad] td.subject::before { content: "\2717 "; }
tr { cursor: pointer; } tr:focus { outline: none; }
aside { border-left: 1px solid var(--line); overflow: auto; padding: .6rem .8rem; }
aside h2 { margin: 0 0 .3rem; font-size: 1.05rem; }
aside p { margin: .2rem 0 .6rem; white-space: pre-wrap; }
aside img { max-width: 100%; display: block; background: #fff; }
@media (max-width: 800px) { body { grid-template: auto 1fr 45vh / 1fr; } aside { border: 0; border-top: 1px solid var(--line); } }
</style>
</head>
<body>
<header>
<h1>Quality: {{title}}</h1>
<span class="note">{{note}}</span>
<span role="group" aria-label="Filter by status">
<button type="button" data-filter="" aria-pressed="true"><kbd>1</kbd> all {{total}}</button>
<button type="button" data-filter="ok" aria-pressed="false"><kbd>2</kbd> ok {{count_ok}}</button>
<button type="button" data-filter="partial" aria-pressed="false"><kbd>3</kbd> partial {{count_partial}}</button>
<button type="button" data-filter="excluded" aria-pressed="false"><kbd>4</kbd> excluded {{count_excluded}}</button>
</span>
<input id="search" type="search" placeholder="search ( / )" aria-label="Search subjects and reasons">
<span><kbd>j</kbd> <kbd>k</kbd> next, previous &nbsp; <kbd>g</kbd> good <kbd>b</kbd> bad <kbd>u</kbd> unmark</span>
<button type="button" id="save">save marks</button>
<span id="marked" role="status"></span>
</header>
<div id="list">
<table>
<thead><tr>{{head}}</tr></thead>
<tbody>
{{body}}
</tbody>
</table>
</div>
<aside aria-live="polite"><h2 id="who"></h2><p id="why"></p><a id="open" target="_blank"><img id="picture" alt=""></a></aside>
<script>
"use strict";
const cohort = {{cohort}}, key = "relad-qc-" + cohort;
const body = document.querySelector("tbody"), search = document.getElementById("search");
const rows = () => [...body.rows], seen = () => rows().filter(row => !row.hidden);
let marks = {}, filter = "", chosen = null;
try { marks = JSON.parse(localStorage.getItem(key)) || {}; } catch { /* private windows have no storage */ }

function show(row) {
  if (!row) return;
  if (chosen) chosen.removeAttribute("aria-selected");
  chosen = row;
  row.setAttribute("aria-selected", "true");
  row.scrollIntoView({ block: "nearest" });
  document.getElementById("who").textContent = "sub-" + row.dataset.subject + "  " + row.dataset.status;
  document.getElementById("why").textContent = row.querySelector("td.reason").textContent || "";
  const picture = document.getElementById("picture"), file = row.dataset.picture;
  picture.hidden = !file;
  picture.alt = file ? "T1w, FLAIR and PET of sub-" + row.dataset.subject + " with the outline of the brain mask" : "";
  if (file) { picture.src = file; document.getElementById("open").href = file; }
}
function move(step) {
  const list = seen(), at = list.indexOf(chosen);
  show(list[Math.min(Math.max(at + step, 0), list.length - 1)]);
}
function narrow() {
  const word = search.value.trim().toLowerCase();
  for (const row of rows()) {
    const text = (row.dataset.subject + " " + row.querySelector("td.reason").textContent).toLowerCase();
    row.hidden = (filter && row.dataset.status !== filter) || (word && !text.includes(word));
  }
  for (const b of document.querySelectorAll("[data-filter]")) b.setAttribute("aria-pressed", b.dataset.filter === filter);
  if (!chosen || chosen.hidden) show(seen()[0]);
}
function mark(value) {
  if (!chosen) return;
  if (value) marks[chosen.dataset.subject] = value; else delete marks[chosen.dataset.subject];
  try { localStorage.setItem(key, JSON.stringify(marks)); } catch { /* kept for this visit */ }
  drawMarks();
  if (value) move(1);
}
function drawMarks() {
  for (const row of rows()) {
    const value = marks[row.dataset.subject];
    if (value) row.dataset.mark = value; else delete row.dataset.mark;
  }
  const bad = Object.values(marks).filter(v => v === "bad").length;
  document.getElementById("marked").textContent = Object.keys(marks).length + " of " + rows().length + " marked, " + bad + " bad";
}
document.querySelectorAll("th").forEach((th, column) => th.querySelector("button").addEventListener("click", () => {
  const up = th.getAttribute("aria-sort") !== "ascending", number = th.classList.contains("number");
  document.querySelectorAll("th").forEach(other => other.removeAttribute("aria-sort"));
  th.setAttribute("aria-sort", up ? "ascending" : "descending");
  const value = row => number ? (row.cells[column].dataset.value === undefined ? NaN : +row.cells[column].dataset.value) : row.cells[column].textContent;
  const sorted = rows().sort((a, b) => {
    const x = value(a), y = value(b);
    if (number) {
      if (isNaN(x) || isNaN(y)) return isNaN(x) - isNaN(y);   // what is not there goes last
      return up ? x - y : y - x;
    }
    return up ? x.localeCompare(y) : y.localeCompare(x);
  });
  body.append(...sorted);
}));
body.addEventListener("click", event => show(event.target.closest("tr")));
document.querySelectorAll("[data-filter]").forEach(b => b.addEventListener("click", () => { filter = b.dataset.filter; narrow(); }));
search.addEventListener("input", narrow);
document.getElementById("save").addEventListener("click", () => {
  const lines = ["subject\tmark", ...rows().filter(r => marks[r.dataset.subject]).map(r => r.dataset.subject + "\t" + marks[r.dataset.subject])];
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type: "text/tab-separated-values" }));
  link.download = "qc_marks_" + cohort + ".tsv";
  link.click();
});
document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target === search) { if (event.key === "Escape" || event.key === "Enter") search.blur(); return; }
  const filters = { 1: "", 2: "ok", 3: "partial", 4: "excluded" };
  if (event.key in filters) { filter = filters[event.key]; narrow(); }
  else if (event.key === "j" || event.key === "ArrowDown") move(1);
  else if (event.key === "k" || event.key === "ArrowUp") move(-1);
  else if (event.key === "g") mark("good");
  else if (event.key === "b") mark("bad");
  else if (event.key === "u") mark("");
  else if (event.key === "/") search.focus();
  else return;
  event.preventDefault();
});
drawMarks();
narrow();
</script>
</body>
</html>
"""
