// What happens when somebody clicks, types, or comes back to an address.

function showAll() {
  document.getElementById("search").value = chosen("text")[0] ?? "";
  for (const menu of document.querySelectorAll("[data-facet]")) {
    const values = new Set(chosen(menu.dataset.facet));
    for (const box of menu.querySelectorAll("input")) box.checked = values.has(box.value);
    menu.querySelector("b").textContent = values.size || "";
  }
  const slugs = new Set(chosen("all"));
  for (const part of document.querySelectorAll(".part")) {
    const all = part.querySelector("details.all");
    if (all && slugs.has(part.dataset.slug)) all.open = true;
  }
  showColumns();
  filterRows();
  sortTables("networks", networkTables);
  sortTables("rows", rowTables);
  openRows();
  pickRows();
  document.getElementById(chosen("at")[0])?.scrollIntoView();
}

function onClick(event) {
  const button = event.target.closest("button");
  for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
  const link = event.target.closest('a[href^="#"]');
  if (link && !link.matches(".skip")) {
    event.preventDefault(); // The place would take the place of the choices in the address.
    choose("at", [link.hash.slice(1)]);
    document.getElementById(chosen("at")[0])?.scrollIntoView();
  }
  if (!button) return;
  const tr = button.closest("tr");
  if (button.matches(".sort")) {
    const table = button.closest("table");
    choose(table.dataset.kind, nextOrder(table.dataset.kind, button.parentElement.dataset.key));
    sortTables(table.dataset.kind, table.dataset.kind === "rows" ? rowTables : networkTables);
  } else if (button.matches(".open")) {
    toggle("open", tr.dataset.id);
    openRows();
  } else if (button.matches(".seeds")) {
    toggle("seeds", tr.dataset.id);
    filterRows();
  } else if (button.matches(".go")) {
    goTo(tr.dataset.id);
  } else if (button.id === "reset") {
    for (const key of ["text", "data", ...FACETS, "columns", "networks", "rows", "seeds", "at"]) choose(key, []);
    showAll();
  }
}

// From a line of the table of networks to its row, opened.
function goTo(id) {
  const row = rowOf.get(id);
  if (!chosen("open").includes(id)) toggle("open", id);
  openRows();
  row.table.closest("details").open = true;
  row.tr.scrollIntoView({ block: "center" });
  row.tr.querySelector("button.open").focus({ preventScroll: true });
}

function onChange(event) {
  const facet = event.target.closest("[data-facet]");
  if (facet) {
    choose(facet.dataset.facet, [...facet.querySelectorAll("input:checked")].map((box) => box.value));
    facet.querySelector("b").textContent = chosen(facet.dataset.facet).length || "";
    filterRows();
  } else if (event.target.closest("#columns")) {
    choose("columns", [...document.querySelectorAll("#columns input:checked")].map((box) => box.value));
    showColumns();
  } else if (event.target.closest(".pick")) {
    const { id } = event.target.closest("tr").dataset;
    choose("pick", event.target.checked ? [...chosen("pick"), id].slice(-2) : chosen("pick").filter((each) => each !== id));
    pickRows();
  }
}

function onToggle(event) {
  if (!event.target.matches("details.all:not([data-always])")) return;
  const { slug } = event.target.closest(".part").dataset;
  if (event.target.open !== chosen("all").includes(slug)) toggle("all", slug);
}

function onKey(event) {
  if (event.key !== "Escape") return;
  const menu = document.querySelector("details.menu[open]");
  if (menu) {
    menu.open = false;
    menu.querySelector("summary").focus();
  } else if (!comparison.hidden) {
    choose("pick", []);
    pickRows();
  }
}

document.documentElement.classList.add("js");
addMenus();
readAddress();
showAll();
document.addEventListener("click", onClick);
document.addEventListener("change", onChange);
document.addEventListener("toggle", onToggle, true);
document.addEventListener("keydown", onKey);
window.addEventListener("hashchange", () => {
  readAddress();
  showAll();
});
document.getElementById("filters").addEventListener("submit", (event) => event.preventDefault());
document.getElementById("search").addEventListener("input", (event) => {
  choose("text", event.target.value ? [event.target.value] : []);
  filterRows();
});
