// Sorts tables, filters rows, and saves recipes. The page reads the same without it.
"use strict";
(() => {
  const SCALES = { k: 1e3, M: 1e6, G: 1e9, T: 1e12, P: 1e15 };

  // The first number of a cell, with its prefix; text where there is none.
  function key(cell) {
    const text = cell.textContent.trim();
    const found = text.replace(/,/g, "").replace("< ", "").match(/^[+-]?\d+(\.\d+)?(e[+-]?\d+)?/);
    if (!found) return text === "" || text === "–" ? null : text.toLowerCase();
    const scale = text.slice(text.indexOf(found[0].slice(-1)) + 1).match(/^\s([kMGTP])$/);
    return Number(found[0]) * (scale ? SCALES[scale[1]] : 1);
  }

  function compare(a, b) {
    if (a === null || b === null) return (a === null) - (b === null);
    if (typeof a === typeof b) return a < b ? -1 : a > b ? 1 : 0;
    return typeof a === "number" ? -1 : 1;
  }

  function sort(head) {
    const table = head.closest("table"), body = table.tBodies[0];
    const column = [...head.parentNode.children].indexOf(head);
    const down = head.getAttribute("aria-sort") !== "descending";
    const keyed = [...body.rows].map((row, place) => ({ row, place, key: key(row.cells[column]) }));
    keyed.sort((a, b) => {
      if (a.key === null || b.key === null) return compare(a.key, b.key) || a.place - b.place;
      return (down ? compare(b.key, a.key) : compare(a.key, b.key)) || a.place - b.place;
    });
    const sorted = document.createDocumentFragment();
    keyed.forEach((entry) => sorted.append(entry.row));
    body.append(sorted);
    for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
  }

  for (const table of document.querySelectorAll("table.sorts")) {
    for (const head of table.tHead.rows[0].cells) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      button.addEventListener("click", () => sort(head));
      head.append(button);
    }
  }

  const filter = document.getElementById("filter"), shown = document.getElementById("shown");
  filter.addEventListener("input", () => {
    const words = filter.value.toLowerCase().split(/[\s,]+/).filter(Boolean);
    const rows = new Set();
    for (const element of document.querySelectorAll("[data-row]")) {
      const label = element.dataset.row.toLowerCase();
      const fits = words.length === 0 || words.some((word) => label.includes(word));
      element.hidden = !fits;
      if (fits) rows.add(label);
    }
    shown.textContent = words.length ? `${rows.size} row${rows.size === 1 ? "" : "s"}` : "";
  });
  document.getElementById("tools").hidden = false;

  async function recipes() {
    const packed = Uint8Array.from(atob(document.getElementById("recipes").textContent), (c) => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(stream).text());
  }

  for (const button of document.querySelectorAll("button.recipe")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const text = (await recipes())[button.dataset.recipe];
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([text], { type: "application/yaml" }));
      link.download = `${button.dataset.recipe.replace(/[^\w.+-]+/g, "_")}.yaml`;
      link.click();
      URL.revokeObjectURL(link.href);
      document.getElementById("recipe").textContent = text;
    });
  }
})();
