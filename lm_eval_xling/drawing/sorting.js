"use strict";
// A click on a heading's button sorts the table by that column, a second one the other way.
(() => {
  const key = (row, column) => {
    const cell = row.cells[column];
    const raw = cell.dataset.value ?? cell.textContent.trim();
    if (raw === "" || raw === "inf") return Infinity;
    const number = Number(raw);
    return Number.isNaN(number) ? raw : number;
  };
  const compare = (a, b) => {
    if (typeof a === "number" && typeof b === "number") return a === b ? 0 : a < b ? -1 : 1;
    return String(a).localeCompare(String(b));
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const headings = [...table.tHead.rows[0].cells];
    headings.forEach((heading, column) => {
      heading.querySelector("button").addEventListener("click", () => {
        const down = heading.getAttribute("aria-sort") === "ascending";
        headings.forEach((other) => other.removeAttribute("aria-sort"));
        heading.setAttribute("aria-sort", down ? "descending" : "ascending");
        const body = table.tBodies[0];
        const rows = [...body.rows].map((row) => [key(row, column), row]);
        rows.sort((a, b) => {
          // What is not defined stays last in both directions.
          if (a[0] === Infinity || b[0] === Infinity) return compare(a[0], b[0]);
          return down ? compare(b[0], a[0]) : compare(a[0], b[0]);
        });
        body.append(...rows.map((pair) => pair[1]));
      });
    });
  }
})();
