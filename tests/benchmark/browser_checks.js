// Looks at the report in each frame and uses it; what is found goes into the page as JSON.
"use strict";
const rgb = (text) => (text.match(/[\d.]+/g) || []).map(Number);

function over(top, below) {
  const alpha = top.length > 3 ? top[3] : 1;
  return [0, 1, 2].map((c) => alpha * top[c] + (1 - alpha) * below[c]);
}

function luminance(color) {
  const [r, g, b] = color.map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function background(view, element) {
  const layers = [];
  for (let e = element; e; e = e.parentElement) layers.push(rgb(view.getComputedStyle(e).backgroundColor));
  return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255]);
}

function contrast(view, element) {
  const style = view.getComputedStyle(element), under = background(view, element);
  const ink = rgb(element instanceof view.SVGElement ? style.fill : style.color);
  const [a, b] = [luminance(over(ink, under)), luminance(under)].sort((x, y) => y - x);
  const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
  return { ratio: (a + 0.05) / (b + 0.05), needed: large ? 3 : 4.5 };
}

function texts(view) {
  const written = (e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
  return [...view.document.body.querySelectorAll("*")].filter(
    (e) => written(e) && !["SCRIPT", "STYLE", "title", "NOSCRIPT"].includes(e.tagName) && e.getClientRects().length,
  );
}

const rows = (table) => [...table.tBodies[0].rows].map((row) => row.cells[0].textContent.trim().replace(/\s+guessing$/, ""));
const visible = (doc) => [...new Set([...doc.querySelectorAll("[data-row]")].filter((e) => !e.hidden).map((e) => e.dataset.row))];

async function look(frame) {
  const view = frame.contentWindow, doc = frame.contentDocument, found = {};
  const width = doc.documentElement.clientWidth;
  const scrolls = (e) => e.closest(".scroll, pre");
  found.overflow = [...doc.body.querySelectorAll("*")]
    .filter((e) => !scrolls(e) && e.getBoundingClientRect().right > width + 1)
    .map((e) => `${e.tagName} ${e.className.baseVal ?? e.className} ${e.getBoundingClientRect().right}`).slice(0, 5);
  if (doc.documentElement.scrollWidth > width) found.overflow.push(`page ${doc.documentElement.scrollWidth}`);
  const all = texts(view);
  found.texts = all.length;
  found.pale = all.map((e) => [e, contrast(view, e)]).filter(([, c]) => c.ratio < c.needed)
    .map(([e, c]) => `${e.tagName} ${e.textContent.trim().slice(0, 30)} ${c.ratio.toFixed(2)}`).slice(0, 8);
  found.background = rgb(view.getComputedStyle(doc.body).backgroundColor);
  found.headers = doc.querySelectorAll("th").length;
  found.without_scope = doc.querySelectorAll("th:not([scope])").length;
  found.wordless = doc.querySelectorAll("img:not([alt]), img[alt=''], svg[role=img]:not([aria-label])").length;

  const table = doc.querySelector("table.sorts"), head = table.tHead.rows[0].cells[2];
  found.sorted = [];
  found.aria = [];
  const started = performance.now();
  for (let click = 0; click < 2; click++) {
    head.querySelector("button").click();
    found.sorted.push(rows(table));
    found.aria.push(head.getAttribute("aria-sort"));
  }
  found.milliseconds = (performance.now() - started) / 2;

  const filter = doc.getElementById("filter");
  filter.value = "dkd";
  filter.dispatchEvent(new view.Event("input"));
  found.filtered = visible(doc);
  filter.value = "";
  filter.dispatchEvent(new view.Event("input"));
  found.unfiltered = visible(doc).length;

  const button = doc.querySelector("button.recipe");
  if (button) {
    view.HTMLAnchorElement.prototype.click = () => {}; // a test needs no download
    button.click();
    for (let wait = 0; wait < 50 && !doc.getElementById("recipe").textContent; wait++) await new Promise((go) => setTimeout(go, 50));
    found.recipe = doc.getElementById("recipe").textContent;
  }
  found.said = view.said;
  return found;
}

window.addEventListener("load", async () => {
  const found = {};
  for (const frame of document.querySelectorAll("iframe")) {
    try {
      found[frame.dataset.view] = await look(frame);
    } catch (error) {
      found[frame.dataset.view] = { said: [String(error.stack)] };
    }
  }
  document.getElementById("found").textContent = JSON.stringify(found);
});
