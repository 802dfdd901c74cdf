// What a reader chose is in the address, so that a view can be sent: #method=cam,pc1&rows=-top1_loc&open=...
// Every key has a list of values. An address without "=" is a place on the page, as links without scripts have it.

const settings = JSON.parse(document.getElementById("settings").textContent);
const state = new Map();

function chosen(key) {
  return state.get(key) ?? [];
}

function choose(key, values) {
  if (values.length) state.set(key, values);
  else state.delete(key);
  const parts = [...state].map(([name, list]) => `${name}=${list.map(encodeURIComponent).join(",")}`);
  history.replaceState(null, "", parts.length ? `#${parts.join("&")}` : location.pathname + location.search);
}

function toggle(key, value) {
  const values = chosen(key);
  choose(key, values.includes(value) ? values.filter((each) => each !== value) : [...values, value]);
}

function readAddress() {
  const address = location.hash.slice(1);
  if (address && !address.includes("=")) return;
  state.clear();
  for (const part of address.split("&").filter(Boolean)) {
    const at = part.indexOf("=");
    try {
      state.set(part.slice(0, at), part.slice(at + 1).split(",").filter(Boolean).map(decodeURIComponent));
    } catch {
      // An address that was cut while it was copied: what can be read of it counts.
    }
  }
}

// ------------------------------------------------------------------------------------------------ elements, as text

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(key, value);
    else if (value !== null && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}
