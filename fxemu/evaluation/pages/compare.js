// Sorting: numbers by value, text by letter; a second click turns the order round.
const key = (row, i) => row.cells[i].dataset.value ?? row.cells[i].textContent.trim();
const inOrder = (a, b) => {
  const difference = Number(a) - Number(b);
  return Number.isNaN(difference) ? a.localeCompare(b) : difference;
};
for (const button of document.querySelectorAll(".sortable th button")) {
  button.addEventListener("click", () => {
    const head = button.closest("th");
    const body = button.closest("table").tBodies[0];
    const up = head.ariaSort !== "ascending";
    for (const other of head.parentNode.cells) other.ariaSort = null;
    head.ariaSort = up ? "ascending" : "descending";
    const rows = [...body.rows].sort((a, b) => inOrder(key(a, head.cellIndex), key(b, head.cellIndex)));
    body.append(...(up ? rows : rows.reverse()));
  });
}

// Columns to choose, the same in all tables.
for (const box of document.querySelectorAll(".columns input")) {
  box.addEventListener("change", () => {
    for (const row of document.querySelectorAll(".sortable tr")) {
      row.cells[box.dataset.column].hidden = !box.checked;
    }
  });
}
