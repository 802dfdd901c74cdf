// Filters, order and columns of the tables. The rows are in the page; nothing is made here but their order.

const FACETS = ["family", "method", "weights", "kind"];
const TEXTS_FIRST = new Set(["network", "family", "weights", "method", "best", "precision", "rank", "parameters", "kernel"]);

const rowTables = [...document.querySelectorAll("table.rows")];
const networkTables = [...document.querySelectorAll("table.networks")];
const rows = rowTables.flatMap((table) =>
  [...table.tBodies[0].rows].map((tr, place) => ({ tr, place, table, part: tr.closest(".part"), ...tr.dataset })),
);
const rowOf = new Map(rows.map((row) => [row.id, row]));
const membersOf = new Map();
for (const row of rows) if (row.group) membersOf.set(row.group, [...(membersOf.get(row.group) ?? []), row]);

function counted(number, thing) {
  return `${number.toLocaleString("en")} ${thing}${number === 1 ? "" : "s"}`;
}

function textOf(row) {
  row.text ??= [...row.tr.cells].map((cell) => cell.textContent).join(" ").toLowerCase();
  return row.text;
}

function filterRows() {
  const wanted = FACETS.map((name) => [name, new Set(chosen(name))]).filter(([, values]) => values.size);
  const words = (chosen("text")[0] ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  const parts = new Set(chosen("data"));
  for (const row of rows) {
    row.fits =
      (!parts.size || parts.has(row.part.dataset.slug)) &&
      wanted.every(([name, values]) => values.has(row[name])) &&
      words.every((word) => textOf(row).includes(word));
  }
  const expanded = new Set(chosen("seeds"));
  for (const row of rows) {
    const shown = row.fits && (!row.group || expanded.has(row.group) || !rowOf.get(row.group).fits);
    row.tr.hidden = !shown;
    if (row.panel) row.panel.hidden = !shown;
  }
  for (const button of document.querySelectorAll("button.seeds")) {
    button.setAttribute("aria-expanded", String(expanded.has(button.closest("tr").dataset.id)));
  }
  showNetworks();
  countRows();
}

function showNetworks() {
  for (const table of networkTables) {
    const part = table.closest(".part");
    const fitting = rows.filter((row) => row.part === part && row.fits);
    const lines = new Set(fitting.map((row) => row.line));
    const ids = new Set(fitting.map((row) => row.id));
    for (const line of table.tBodies[0].rows) {
      line.hidden = !(line.dataset.line === undefined ? ids.has(line.dataset.id) : lines.has(line.dataset.line));
    }
  }
}

function countRows() {
  const single = rows.filter((row) => !membersOf.has(row.id));
  const fitting = single.filter((row) => row.fits);
  document.getElementById("count").textContent = `${fitting.length} of ${counted(single.length, "row")}`;
  for (const table of rowTables) {
    const of = single.filter((row) => row.table === table);
    const fit = of.filter((row) => row.fits).length;
    const part = table.closest(".part");
    part.hidden = fit === 0;
    const told = part.querySelector(".all .told");
    if (told) told.textContent = (fit < of.length ? `${fit} of ` : of.length > 1 ? "All " : "") + counted(of.length, "row");
  }
}

// ---------------------------------------------------------------------------------------------------------------- order

function headOf(table, key) {
  return [...table.tHead.rows[0].cells].find((head) => head.dataset.key === key);
}

function sortTables(kind, tables) {
  const order = chosen(kind)[0] ?? "";
  const key = order.replace(/^-/, "");
  for (const table of tables) {
    const head = headOf(table, key);
    for (const each of table.tHead.rows[0].cells) each.removeAttribute("aria-sort");
    const shown = head ?? (table.dataset.score && headOf(table, table.dataset.score));
    const down = head ? order.startsWith("-") : true;
    if (shown) shown.setAttribute("aria-sort", down ? "descending" : "ascending");
    if (head || table.arranged) arrange(table, head?.cellIndex, down);
    table.arranged = head !== undefined; // The page comes in order.
  }
}

function arrange(table, column, down) {
  const lines = [...table.tBodies[0].rows].filter((tr) => !tr.classList.contains("detail"));
  for (const [place, tr] of lines.entries()) tr.place ??= place;
  const compare = column === undefined ? byPlace : byColumn(column, down);
  const heads = lines.filter((tr) => !tr.dataset.group).sort(compare);
  const ordered = heads.flatMap((tr) => [tr, ...(membersOf.get(tr.dataset.id) ?? []).map((row) => row.tr).sort(compare)]);
  const panels = ordered.flatMap((tr) => (tr.panel ? [tr, tr.panel] : [tr]));
  table.tBodies[0].append(...panels);
}

function byPlace(one, other) {
  return one.place - other.place;
}

const collator = new Intl.Collator("en", { numeric: true });

function byColumn(column, down) {
  const keys = new Map();
  const keyOf = (tr) => {
    if (!keys.has(tr)) keys.set(tr, sortKey(tr.cells[column]));
    return keys.get(tr);
  };
  return (one, other) => {
    const [a, b] = [keyOf(one), keyOf(other)];
    if (a === null || b === null) return (a === null) - (b === null) || byPlace(one, other);
    const found = typeof a === "number" && typeof b === "number" ? a - b : collator.compare(a, b);
    return (down ? -found : found) || byPlace(one, other);
  };
}

function sortKey(cell) {
  if (cell.dataset.v) return Number(cell.dataset.v);
  const text = cell.textContent.trim();
  return text === "" || text === "–" || text === "n/a" ? null : text;
}

function nextOrder(kind, key) {
  const now = chosen(kind)[0];
  const [first, second] = TEXTS_FIRST.has(key) ? [key, `-${key}`] : [`-${key}`, key];
  return now === first ? [second] : now === second ? [] : [first];
}

// -------------------------------------------------------------------------------------------------------------- columns

const columnRules = element("style");
document.head.append(columnRules);

function showColumns() {
  const boxes = [...document.querySelectorAll("#columns input")];
  const wanted = state.has("columns") ? new Set(chosen("columns")) : null;
  for (const box of boxes) box.checked = wanted ? wanted.has(box.value) : box.defaultChecked;
  const hidden = boxes.filter((box) => !box.checked).map((box) => headOf(rowTables[0], box.value).cellIndex + 1);
  const which = wanted ? "table.rows" : "table.rows:not(.paper)"; // Those of papers show what is printed.
  const cells = hidden.map((place) => `${which} > * > tr > :nth-child(${place})`);
  columnRules.textContent = cells.length ? `${cells.join(", ")} { display: none; }` : "";
  for (const table of rowTables) table.classList.toggle("all-columns", wanted !== null);
}
