"use strict";
// Tables can be sorted: their titles become buttons. Without this script the page says the same.

const said = document.createElement("p");
said.className = "hidden";
said.setAttribute("role", "status");
document.body.append(said);

const words = new Intl.Collator("en", { numeric: true });

/** What a cell is sorted by: a number in columns of numbers, else its text; null for an empty one. */
function value(row, place, numbers) {
  const cell = row.cells[place];
  const text = cell.textContent.trim();
  if (text === "" || text === "-") return null;
  return numbers ? parseFloat((cell.dataset.v ?? text).replace(/,/g, "")) : text;
}

/** A layer's row with the rows of its parts, which stay below it. */
function groups(body) {
  const found = [];
  for (const row of body.rows) {
    if (row.className === "" || found.length === 0) found.push([]);
    found[found.length - 1].push(row);
  }
  return found;
}

for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const original = groups(body);
  const titles = [...table.tHead.rows[0].cells];

  function sort(title, place, order) {
    const numbers = title.classList.contains("n");
    const sign = order === "descending" ? -1 : 1;
    const keyed = original.map((rows) => [value(rows[0], place, numbers), rows]);
    if (order !== "none") {
      keyed.sort(([a], [b]) =>
        a === null || b === null ? (a === null) - (b === null) : sign * (numbers ? a - b : words.compare(a, b)));
    }
    const sorted = document.createDocumentFragment();
    body.replaceChildren(); // taking the rows out one by one is quadratic
    for (const [, rows] of keyed) for (const row of rows) sorted.append(row);
    body.append(sorted);
    for (const other of titles) other.setAttribute("aria-sort", other === title ? order : "none");
    said.textContent = order === "none" ? "in the report's own order" : `sorted by ${title.textContent}, ${order}`;
  }

  titles.forEach((title, place) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...title.childNodes);
    title.append(button);
    title.setAttribute("aria-sort", "none");
    const orders = title.classList.contains("n") ? ["descending", "ascending"] : ["ascending", "descending"];
    button.addEventListener("click", () => {
      const next = { none: orders[0], [orders[0]]: orders[1], [orders[1]]: "none" };
      sort(title, place, next[title.getAttribute("aria-sort")]);
    });
  });
}

// On paper there is nothing to click: what is folded is printed too.
let opened = [];
addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details:not([open])")];
  for (const fold of opened) fold.open = true;
});
addEventListener("afterprint", () => {
  for (const fold of opened) fold.open = false;
});
