// Two rows on the same images: the difference of every score with its paired interval, and the images they disagree on.

const comparison = document.getElementById("comparison");

function pickRows() {
  const picked = chosen("pick").filter((id) => rowOf.has(id)).slice(-2);
  const ids = new Set(picked);
  for (const box of document.querySelectorAll(".pick input")) box.checked = ids.has(box.closest("tr").dataset.id);
  comparison.hidden = picked.length === 0;
  document.body.style.paddingBottom = picked.length ? "45vh" : "";
  if (picked.length === 1) show([element("p", {}, `${nameOf(rowOf.get(picked[0]))} is ticked. Tick a second row of the same table to compare both.`)]);
  if (picked.length === 2) compareRows(...picked.map((id) => rowOf.get(id)));
}

function show(content, title = "Comparison") {
  const close = element("button", { type: "button", class: "close", click: () => (choose("pick", []), pickRows()) }, "Close");
  comparison.replaceChildren(element("header", {}, element("h2", {}, title), close), ...content);
}

// What differs between two rows, as names, and what they have in common, in `on`.
function shortNames(first, second) {
  const networks = [first, second].map((row) => row.tr.querySelector("button.open").textContent);
  const methods = [first.method, second.method];
  if (networks[0] === networks[1] && methods[0] !== methods[1]) return Object.assign(methods, { on: ` on ${networks[0]}` });
  if (methods[0] === methods[1] && networks[0] !== networks[1]) return Object.assign(networks, { on: `, both with ${methods[0]}` });
  const named = [first, second].map(nameOf);
  if (named[0] !== named[1]) return Object.assign(named, { on: "" });
  const weights = [first, second].map((row) => row.tr.cells[headOf(row.table, "weights").cellIndex].textContent);
  return Object.assign(weights[0] === weights[1] ? ["the first", "the second"] : weights, { on: `, ${named[0]}` });
}

async function compareRows(first, second) {
  const names = shortNames(first, second);
  const title = `${names[1]} compared with ${names[0]}${names.on}`;
  if (first.table !== second.table) {
    show([element("p", {}, "These rows are of different images or settings, so their scores do not compare. Tick two rows of one table.")], title);
    return;
  }
  show([element("p", {}, "Loading …")], title);
  try {
    const [ours, theirs] = await Promise.all([first, second].map((row) => Promise.all(recordsOf(row).map((each) => load(each.detail)))));
    const images = await load(ours[0].images);
    if (comparison.hidden || chosen("pick").slice(-2).join() !== [first.id, second.id].join()) return;
    show([differencesOf(names, ours, theirs), ...disagreement(names, ours, theirs, images)], title);
  } catch (error) {
    show([element("p", {}, error.message)], title);
  }
}

// --------------------------------------------------------------------------------------------------------------- scores

function differencesOf(names, ours, theirs) {
  const metrics = settings.compared.filter((name) => [...ours, ...theirs].every((each) => name in each.resampled));
  const lines = metrics.map((name) => {
    const [one, other] = [meanOf(ours, name), meanOf(theirs, name)];
    const gaps = other.resampled.map((value, place) => value - one.resampled[place]);
    const [low, high] = biasCorrected(other.value - one.value, gaps);
    const cells = [one.value.toFixed(1), other.value.toFixed(1), signed(other.value - one.value), `[${signed(low)}, ${signed(high)}]`, verdict(names, low, high)];
    return element("tr", { "data-metric": name }, element("th", { scope: "row" }, settings.headings[name]), ...cells.map((cell, place) => element("td", { class: place < 4 ? "n" : null }, cell)));
  });
  const heads = ["Score", ...names, "Difference", "95 % interval", "Verdict"].map((text, place) => element("th", { scope: "col", class: place && place < 5 ? "n" : null }, text));
  return element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Differences" }, element("table", {}, element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...lines)));
}

function meanOf(details, name) {
  const each = details.map((detail) => decoded(detail.resampled[name]));
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  return { value: mean(each.map((one) => one.value)), resampled: each[0].resampled.map((_, place) => mean(each.map((one) => one.resampled[place]))) };
}

function decoded({ value, whole, lowest, width, numbers }) {
  const bytes = new DataView(bytesOf(numbers).buffer);
  const read = { 1: (at) => bytes.getUint8(at), 2: (at) => bytes.getUint16(at, true), 4: (at) => bytes.getUint32(at, true) }[width];
  const resampled = Array.from({ length: bytes.byteLength / width }, (_, place) => ((lowest + read(place * width)) * 100) / whole);
  return { value, resampled };
}

function bytesOf(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

function signed(value) {
  const shown = Math.abs(value).toFixed(1);
  return `${value < 0 ? "−" : "+"}${shown}`;
}

function verdict(names, low, high) {
  return low > 0 ? `${names[1]} is better` : high < 0 ? `${names[0]} is better` : "open: the interval contains 0";
}

// --------------------------------------------------------------------------------------------------------------- images

function disagreement(names, ours, theirs, images) {
  if (ours.length + theirs.length > 2) return [element("p", {}, "Scores are means over trainings, in every resample too; images are compared for single trainings.")];
  const [one, other] = [ours[0], theirs[0]];
  const command = commandOf(one, other);
  if (!one.localized || !other.localized) return [command];
  const [bits, otherBits] = [one, other].map((each) => bytesOf(each.localized));
  const is = (of, place) => (of[place >> 3] >> (7 - (place & 7))) & 1;
  const only = [images.filter((_, place) => is(bits, place) && !is(otherBits, place)), images.filter((_, place) => !is(bits, place) && is(otherBits, place))];
  const told = `Of ${counted(images.length, "image")}, only ${names[0]} localizes ${only[0].length}, and only ${names[1]} ${only[1].length} (largest contour, IoU 0.5, ${tauOf(one)} and ${tauOf(other)}).`;
  return [element("p", { id: "disagreement" }, told), ...only.map((ids, place) => listed(`Images that only ${names[place]} localizes`, ids)), command];
}

function tauOf({ threshold }) {
  return threshold.value === null ? settings.no_threshold : `τ ${threshold.value}`;
}

function commandOf(one, other) {
  const command = `wsolbench compare ${[one, other].map((each) => quoted(`records/${each.record}`)).join(" ")}`;
  return element("p", {}, "In the folder of this page: ", element("code", {}, command));
}

function listed(title, ids) {
  return element("details", {}, element("summary", {}, `${title}: ${ids.length}`), element("ul", {}, ...ids.map((id) => element("li", {}, id))));
}

function quoted(path) {
  return /^[\w./+=@-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}
