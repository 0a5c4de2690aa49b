// Tables sort and filter, galleries can be searched and walked through, and arms hidden. Nothing is readable only here.
const number = (text) => {
  const found = text.replaceAll("−", "-").replaceAll(",", "").match(/^[+-]?\d*\.?\d+/);
  return found ? Number(found[0]) : null;
};
const compare = (a, b) => {
  const [x, y] = [number(a), number(b)];
  if (x !== null && y !== null) return x - y;
  if (x !== null || y !== null) return x === null ? 1 : -1; // numbers before text, such as an en dash
  return a.localeCompare(b);
};
const make = (tag, properties) => Object.assign(document.createElement(tag), properties);

for (const table of document.querySelectorAll(".scroll > table:not(.forest)")) {
  const body = table.tBodies[0];
  const rows = [...body.rows];
  if (rows.length < 3) continue;
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const button = make("button", { type: "button", className: "sort", textContent: heading.textContent });
    heading.replaceChildren(button);
    button.addEventListener("click", () => {
      const order = heading.ariaSort === "ascending" ? "descending" : "ascending";
      headings.forEach((each) => each.removeAttribute("aria-sort"));
      heading.ariaSort = order;
      const text = (row) => row.cells[column].textContent.trim();
      const sorted = rows.toSorted((a, b) => compare(text(a), text(b)));
      body.append(...(order === "ascending" ? sorted : sorted.reverse()));
    });
  });
  if (rows.length > 12) search(table.parentElement, rows, table.caption?.textContent.trim() ?? "the table");
}

// A field before `place` that hides the items without its text.
function search(place, items, name) {
  const label = make("label", { className: "search" });
  const field = make("input", { type: "search", placeholder: "filter" });
  field.setAttribute("aria-label", `Filter ${name}`);
  const count = make("output", {});
  label.append(field, count);
  place.before(label);
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const item of items) {
      const text = item.textContent.toLowerCase();
      item.hidden = !words.every((word) => text.includes(word));
      shown += !item.hidden;
    }
    count.textContent = words.length ? `${shown} of ${items.length}` : "";
    if (words.length) for (const item of items) if (!item.hidden) item.closest("details")?.setAttribute("open", "");
  });
}

for (const section of document.querySelectorAll("#changed, #worst, #galleries")) {
  const figures = [...section.querySelectorAll(".worst > figure")];
  if (figures.length) search(section.querySelector("details, .worst"), figures, "images by file name and class");
}

// The arrow keys go from an enlarged image to the next one of its gallery.
document.addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  const open = document.querySelector(".worst .large:popover-open");
  if (!step || !open) return;
  const all = [...open.closest(".worst").querySelectorAll("figure:not([hidden]) .large")];
  const next = all[all.indexOf(open) + step];
  if (!next) return;
  event.preventDefault();
  open.hidePopover();
  next.showPopover();
  next.querySelector("button").focus();
});

// A link to an image set opens what it lies in.
const reveal = () => document.getElementById(decodeURIComponent(location.hash.slice(1)))?.closest("details")?.setAttribute("open", "");
addEventListener("hashchange", reveal);
reveal();

// Arms can be hidden, in the chart of gains and in all curves.
const forest = document.querySelector("table.forest");
const arms = [...new Set([...(forest?.querySelectorAll("tr[data-arm]") ?? [])].map((row) => row.dataset.arm))];
if (arms.length > 1) {
  const group = make("fieldset", { className: "arms" });
  group.append(make("legend", { textContent: "Show" }));
  for (const arm of arms) {
    const label = make("label", {});
    const box = make("input", { type: "checkbox", checked: true });
    box.addEventListener("change", () => {
      for (const each of document.querySelectorAll(`[data-arm="${CSS.escape(arm)}"]`)) each.style.display = box.checked ? "" : "none";
    });
    label.append(box, ` ${arm}`);
    group.append(label);
  }
  forest.parentElement.after(group);
}
