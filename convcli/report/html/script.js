"use strict";
// Without this script the page says the same. Tables can be sorted: their titles become buttons.

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

// Many folds, to be read or printed, open together.
for (const section of document.querySelectorAll("section")) {
  const folds = section.querySelectorAll(":scope > details");
  if (folds.length < 2) continue;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "all";
  button.textContent = "Open all";
  button.addEventListener("click", () => {
    const open = button.textContent === "Open all";
    for (const fold of folds) fold.open = open;
    button.textContent = open ? "Close all" : "Open all";
  });
  folds[0].before(button);
}
