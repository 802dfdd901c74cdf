// What is known of a row beside its numbers. It is in a script beside the page, loaded when somebody opens the row.

const loaded = new Map();
const waiting = new Map();

window.wsolbenchDetail = (name, content) => {
  waiting.get(name)?.(content);
};

function load(name) {
  if (!loaded.has(name)) {
    const found = new Promise((resolve, reject) => {
      waiting.set(name, resolve);
      const failed = () => reject(new Error(`${settings.details}/${name}.js is not beside this page`));
      document.head.append(element("script", { src: `${settings.details}/${name}.js`, error: failed }));
    });
    loaded.set(name, found);
  }
  return loaded.get(name);
}

// The records of a row: its own, or those of the trainings that it is the mean of.
function recordsOf(row) {
  return membersOf.get(row.id) ?? (row.detail ? [row] : []);
}

function openRows() {
  const wanted = new Set(chosen("open"));
  for (const row of rows) {
    const isOpen = row.panel !== undefined;
    if (wanted.has(row.id) === isOpen) continue;
    row.tr.querySelector("button.open").setAttribute("aria-expanded", String(!isOpen));
    if (isOpen) {
      row.panel.remove();
      row.panel = row.tr.panel = undefined;
    } else {
      openRow(row);
    }
  }
}

async function openRow(row) {
  const box = element("div", { class: "panel", role: "group", "aria-label": `Details of ${nameOf(row)}` }, "Loading …");
  row.panel = row.tr.panel = element("tr", { class: "detail" }, element("td", { colspan: row.tr.cells.length }, box));
  row.panel.hidden = row.tr.hidden;
  row.tr.after(row.panel);
  row.table.closest("details").open = true;
  try {
    const records = recordsOf(row);
    const details = await Promise.all(records.map((each) => load(each.detail)));
    box.replaceChildren(...panelOf(row, records, details));
  } catch (error) {
    box.replaceChildren(element("p", {}, error.message));
  }
}

function nameOf(row) {
  return `${row.tr.querySelector("button.open").textContent}, ${row.method}`;
}

function panelOf(row, records, details) {
  if (row.source) return [element("div", { class: "wide" }, element("h4", {}, "Reported"), element("p", {}, row.source))];
  const blocks = [scoresOf(row, details), curvesOf(row, details), factsOf(row, records, details), commandsOf(details)];
  return blocks.filter(Boolean);
}

// ------------------------------------------------------------------------------------------------------- scores, facts

function scoresOf(row, details) {
  const lines = Object.keys(details[0].scores).map((key) => {
    const found = details.map((each) => each.scores[key]);
    const cells = found.map(([value, ends]) => `${value.toFixed(1)}${ends ? ` [${ends.map((end) => end.toFixed(1)).join(", ")}]` : ""}`);
    return element("tr", {}, element("th", { scope: "row" }, settings.headings[key]), ...cells.map((cell) => element("td", { class: "n" }, cell)));
  });
  const heads = details.length > 1 ? details.map((each) => `seed ${each.seed}`) : ["Score [95 %]"];
  const head = element("tr", {}, element("td"), ...heads.map((text) => element("th", { scope: "col", class: "n" }, text)));
  const table = element("table", {}, element("thead", {}, head), element("tbody", {}, ...lines));
  const notes = row.incomplete ? [element("p", {}, `Incomplete: ${row.incomplete}.`)] : [];
  return element("div", { class: details.length > 1 ? "wide" : null }, element("h4", {}, "Scores"), element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Scores of ${nameOf(row)}` }, table), ...notes);
}

function factsOf(row, records, details) {
  if (details.length > 1) {
    const links = details.map((each) => element("li", {}, recordLink(each)));
    return element("div", { class: "wide" }, element("h4", {}, `Mean over ${counted(records.length, "training")}`), element("ul", {}, ...links));
  }
  const facts = details[0].facts.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]);
  const files = element("dd", {}, recordLink(details[0]));
  const gallery = row.part.dataset.gallery;
  const pictures = gallery ? [element("dt", {}, "Gallery"), element("dd", {}, element("a", { href: gallery }, element("img", { src: gallery, alt: "The same images across networks and methods", loading: "lazy", width: "220" })))] : [];
  return element("div", {}, element("h4", {}, "Provenance"), element("dl", {}, ...facts, element("dt", {}, "File"), files, ...pictures));
}

function recordLink({ record }) {
  const path = `records/${record}`;
  return element("a", { href: path.split("/").map(encodeURIComponent).join("/") }, path);
}

function commandsOf(details) {
  const commands = [...new Set(details.flatMap((each) => each.commands))];
  const text = commands.join("\n");
  const copy = element("button", { type: "button", click: (event) => copyText(text, event.currentTarget) }, "Copy");
  const title = commands.length > 1 ? "Commands that remake it" : "Command that remakes it";
  return element("div", { class: "wide" }, element("h4", {}, title), element("pre", { tabindex: "0" }, text), copy);
}

// --------------------------------------------------------------------------------------------------------------- curves

const [LEFT, TOP, WIDTH, HEIGHT] = [34, 8, 300, 170];

function drawn(name, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function curvesOf(row, details) {
  const known = details.filter((each) => each.curves);
  if (!known.length) {
    const isOfBoxes = details.every(({ threshold }) => threshold && threshold.value === null);
    return isOfBoxes ? element("div", {}, element("h4", {}, "BoxAcc against τ"), element("p", {}, `${settings.no_threshold}: every score is the same at every τ.`)) : null;
  }
  const names = Object.keys(known[0].curves.lines);
  const shown = known.length > 1 ? names.slice(0, 1) : names;
  const paths = known.flatMap(({ curves }) =>
    shown.map((name, place) => drawn("path", { class: known.length > 1 ? `l${place} thin` : `l${place}`, d: pathOf(curves.thresholds, curves.lines[name]) })),
  );
  const taus = known.filter((each) => each.threshold).map((each) => x(each.threshold.value));
  const marks = taus.map((at) => drawn("line", { class: "tau", x1: at, x2: at, y1: TOP, y2: TOP + HEIGHT }));
  const keys = shown.map((name, place) =>
    element("li", {}, drawn("svg", { viewBox: "0 0 12 6", "aria-hidden": "true" }, drawn("line", { class: `l${place}`, x1: 0, x2: 12, y1: 3, y2: 3 })), name),
  );
  const chart = drawn("svg", { class: "chart", viewBox: `0 0 ${LEFT + WIDTH + 12} ${TOP + HEIGHT + 34}`, role: "img", "aria-label": `BoxAcc against τ of ${nameOf(row)}` }, ...axes(), ...paths, ...marks);
  const dashed = taus.length ? [element("li", {}, "┆ chosen τ")] : [];
  return element("div", {}, element("h4", {}, "BoxAcc against τ"), chart, element("ul", { class: "lines" }, ...keys, ...dashed));
}

function x(tau) {
  return LEFT + WIDTH * tau;
}

function y(percent) {
  return TOP + HEIGHT * (1 - percent / 100);
}

function pathOf(thresholds, values) {
  return values.map((value, place) => `${place ? "L" : "M"}${x(thresholds[place]).toFixed(1)} ${y(value).toFixed(1)}`).join("");
}

function axes() {
  const lines = [0, 25, 50, 75, 100].flatMap((percent) => [
    drawn("line", { class: "grid", x1: LEFT, x2: LEFT + WIDTH, y1: y(percent), y2: y(percent) }),
    drawn("text", { x: LEFT - 5, y: y(percent) + 4, "text-anchor": "end" }, String(percent)),
  ]);
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((tau) => drawn("text", { x: x(tau), y: TOP + HEIGHT + 15, "text-anchor": "middle" }, String(tau)));
  return [...lines, ...ticks, drawn("text", { x: x(0.5), y: TOP + HEIGHT + 30, "text-anchor": "middle" }, "τ (percent of images against the threshold)")];
}
