// The visible table as text for a paper, a README, a spreadsheet. How a text is written in a format comes with the page.

const ENDINGS = { latex: "tex", markdown: "md", csv: "csv", bibtex: "bib" };
const FORMATS = { latex: asLatex, markdown: asMarkdown, csv: asCsv, bibtex: asBibtex };
const LABELS = { latex: "LaTeX", markdown: "Markdown", csv: "CSV", bibtex: "BibTeX" };

function addMenus() {
  for (const bar of document.querySelectorAll(".bar")) {
    const table = bar.parentElement.querySelector(":scope > .scroll > table");
    const lines = Object.keys(FORMATS).map((format) =>
      element("div", { class: "row" }, element("span", {}, LABELS[format]),
        element("button", { type: "button", "aria-label": `Copy as ${LABELS[format]}`, "data-copy": format, click: (event) => copyText(FORMATS[format](table), event.currentTarget) }, "copy"),
        element("button", { type: "button", "aria-label": `Download as ${LABELS[format]}`, "data-download": format, click: () => download(FORMATS[format](table), `${table.closest(".part").dataset.slug}.${ENDINGS[format]}`) }, "download")),
    );
    bar.append(element("details", { class: "menu export" }, element("summary", {}, "Copy table"), element("fieldset", {}, element("legend", { class: "hidden" }, "Copy or download what is visible"), ...lines)));
  }
}

async function copyText(text, button) {
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = element("textarea", {}, text);
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  button.textContent = "copied";
  setTimeout(() => (button.textContent = label), 1200);
}

function download(text, name) {
  const link = element("a", { href: URL.createObjectURL(new Blob([text], { type: "text/plain" })), download: name });
  link.click();
  URL.revokeObjectURL(link.href);
}

// The visible columns and rows: {key, heading, number} and lists of {text, marks, tag, value, spread}.
function visibleTable(table) {
  const heads = [...table.tHead.rows[0].cells].filter((head) => head.dataset.key && getComputedStyle(head).display !== "none");
  const columns = heads.map((head) => ({ key: head.dataset.key, heading: head.textContent.trim(), number: head.classList.contains("n"), place: head.cellIndex }));
  const lines = [...table.tBodies[0].rows].filter((tr) => !tr.hidden && !tr.classList.contains("detail"));
  return { columns, lines: lines.map((tr) => ({ tr, cells: columns.map((column) => cellOf(tr.cells[column.place])) })) };
}

function cellOf(cell) {
  const button = cell.querySelector("button.open, button.go");
  const spread = cell.querySelector("small")?.textContent.trim() ?? "";
  const marks = [...cell.querySelectorAll("sup")].map((mark) => mark.textContent);
  const tag = [...cell.querySelectorAll(".tag")].map((each) => each.textContent).join(", ");
  if (button) return { text: button.textContent, marks, tag, spread: "" };
  const text = cell.textContent.trim();
  return { text: spread ? text.slice(0, text.length - spread.length).trim() : text, marks, tag, spread, value: cell.dataset.v };
}

function written(format, text) {
  return settings.escaped[format][text] ?? text;
}

function named(format, cell) {
  const tag = cell.tag ? ` (${cell.tag})` : "";
  return written(format, cell.text) + cell.marks.map((mark) => ` ${written(format, mark)}`).join("") + tag;
}

function asMarkdown(table) {
  const { columns, lines } = visibleTable(table);
  const cells = [columns.map((column) => written("markdown", column.heading)), columns.map((column) => (column.number ? "--:" : ":--"))];
  for (const line of lines) cells.push(line.cells.map((cell) => [named("markdown", cell), cell.spread].filter(Boolean).join(" ")));
  return cells.map((each) => `| ${each.join(" | ")} |\n`).join("");
}

function asCsv(table) {
  const { columns, lines } = visibleTable(table);
  const metrics = new Set(settings.metrics);
  const of = columns.map((column) => ({ ...column, exact: metrics.has(column.key) }));
  const spreads = (column) => (column.exact ? ["low", "high", "sd"] : []);
  const heads = of.flatMap((column) => [column.heading, ...spreads(column).map((name) => `${column.heading} ${name}`)]);
  const body = lines.map((line) => of.flatMap((column, place) => {
    const cell = line.cells[place];
    return column.exact ? [cell.value ?? "", ...spreadOf(cell.spread)] : [cell.text === "–" ? "" : named("csv", cell)];
  }));
  return [heads.map((text) => written("csv", text)), ...body].map((cells) => `${cells.map(quotedCell).join(",")}\n`).join("");
}

function spreadOf(text) {
  const numbers = text.match(/-?[\d.]+/g) ?? [];
  return text.startsWith("±") ? ["", "", numbers[0]] : numbers.length === 2 ? [...numbers, ""] : ["", "", ""];
}

function quotedCell(text) {
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function asLatex(table) {
  const { columns, lines } = visibleTable(table);
  const metrics = new Set(settings.metrics);
  const best = columns.map((column, place) => (metrics.has(column.key) ? bestOf(lines, place) : []));
  const body = lines.map(({ tr, cells }) => cells.map((cell, place) => latexCell(tr, cell, best[place])).join(" & "));
  const section = table.closest(".part");
  const title = section.querySelector(".dim").textContent;
  return [
    `% ${title}`, "% needs \\usepackage{booktabs}",
    `\\begin{tabular}{${columns.map((column) => (column.number ? "r" : "l")).join("")}}`, "\\toprule",
    `${columns.map((column) => written("latex", column.heading)).join(" & ")} \\\\`, "\\midrule",
    ...body.map((line) => `${line} \\\\`), "\\bottomrule", "\\end{tabular}", "",
  ].join("\n");
}

// The best and the second best of the shown digits; baselines and reported numbers take no part.
function bestOf(lines, place) {
  const shown = lines.filter(({ tr }) => !["baseline", "reported"].includes(tr.dataset.kind)).map(({ cells }) => Number.parseFloat(cells[place].text));
  return [...new Set(shown.filter((value) => !Number.isNaN(value)))].sort((one, other) => other - one).slice(0, 2);
}

function latexCell(tr, cell, best) {
  const spread = cell.spread.replace("±", "$\\pm$");
  const text = cell.text === "–" ? "--" : cell.text.replace(/^(\d+)–(\d+)$/, "$1--$2");
  const name = text === cell.text ? named("latex", cell) : text;
  const place = ["baseline", "reported"].includes(tr.dataset.kind) ? -1 : best.indexOf(Number.parseFloat(cell.text));
  const marked = place === 0 ? `\\textbf{${name}}` : place === 1 ? `\\underline{${name}}` : name;
  return spread ? `${marked} {\\footnotesize ${spread}}` : marked;
}

function asBibtex(table) {
  const { lines } = visibleTable(table);
  const papers = new Set(lines.map(({ tr }) => tr.dataset.paper).filter(Boolean));
  return [settings.own_reference, ...[...papers].map((source) => settings.papers[source])].join("\n");
}
