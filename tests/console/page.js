// What the tests ask of the page in the browser.
window.blocked = []; // what the page's policy has blocked
window.shifts = []; // the layout shifts (https://web.dev/articles/cls), those after an input too
addEventListener("securitypolicyviolation", (event) => {
  blocked.push(`${event.violatedDirective} ${event.blockedURI}`);
});
new PerformanceObserver((list) => {
  const named = ({ sources, value }) => `${value} ${sources.map(({ node }) => node?.className ?? node?.data)}`;
  shifts.push(...list.getEntries().map(named));
}).observe({ type: "layout-shift", buffered: true });

const isShown = (element) => element.checkVisibility({ visibilityProperty: true });

/** Return the part of a rectangle that no ancestor clips, as left, top, right, bottom. */
function clipped(rect, element) {
  const box = [rect.left, rect.top, rect.right, rect.bottom];
  for (let above = element; above; above = above.parentElement) {
    if (getComputedStyle(above).overflow === "visible") continue;
    const { left, top, right, bottom } = above.getBoundingClientRect();
    [left, top].forEach((side, at) => { box[at] = Math.max(box[at], side); });
    [right, bottom].forEach((side, at) => { box[at + 2] = Math.min(box[at + 2], side); });
  }
  return box;
}

window.checks = {
  /** Wait until a test holds. Playwright's wait evaluates a string on each frame, which the page's policy blocks. */
  async until(holds) {
    const deadline = Date.now() + 45_000;
    while (!holds()) {
      if (Date.now() > deadline) throw new Error(`not within the time: ${holds}`);
      await new Promise((resolve) => { setTimeout(resolve, 50); });
    }
  },

  /** The words of the drawn pages, and whether a mark covers the middle of each, without the console's search. */
  words() {
    const boxes = [...document.querySelectorAll(".quote-box")].map((box) => box.getBoundingClientRect());
    const words = [];
    for (const sheet of document.querySelectorAll(".sheet")) {
      const walker = document.createTreeWalker(sheet, NodeFilter.SHOW_TEXT);
      while (walker.nextNode()) {
        for (const found of walker.currentNode.data.matchAll(/[A-Za-z]+/g)) {
          const range = document.createRange();
          range.setStart(walker.currentNode, found.index);
          range.setEnd(walker.currentNode, found.index + found[0].length);
          const word = range.getBoundingClientRect();
          const [x, y] = [word.left + word.width / 2, word.top + word.height / 2];
          const marked = boxes.some((b) => b.left <= x && x <= b.right && b.top <= y && y <= b.bottom);
          words.push([Number(sheet.dataset.page), found[0], marked]);
        }
      }
    }
    return words;
  },

  /** The number of boxes that mark a quote in the console's own view of a PDF. */
  async marks(url, page, quote) {
    const { opened, PdfView } = await import("/pdf-view.js");
    const root = document.createElement("div");
    root.className = "pages";
    root.style.cssText = "position: fixed; inset: 0; width: 900px; overflow: auto;";
    document.body.append(root);
    const pdf = await opened(url, url);
    let view;
    const boxes = await new Promise((resolve) => {
      const onFailed = (number) => number === page && resolve(0);
      view = new PdfView(root, pdf, { page, quote, onQuote: resolve, onFailed, label: String });
      view.start();
    });
    view.close();
    root.remove();
    return boxes;
  },

  /** The texts of elements that have no other elements. */
  texts: () => [...document.querySelectorAll("body *")]
    .filter((one) => !one.children.length && one.checkVisibility() && !one.closest("[lang]:not(html)"))
    .map((one) => one.textContent.trim()),

  /** The elements beyond an edge of the screen. */
  wide: () => [...document.querySelectorAll("header *, main *, aside header *")]
    .filter((one) => !one.closest(".skip, .hidden, .wide"))
    .map((one) => [one.className, one.getBoundingClientRect()])
    .filter(([, box]) => box.right > innerWidth + 1 || box.left < -1).map(([name, box]) => `${name} ${box.left}`),

  /** The pairs of texts of a layer that cover each other. */
  overprinted() {
    const layer = (one) => one.closest("dialog, aside, .choices, .talks, .menu, .preview, .composer, main, header");
    const places = (one, node) => {
      const range = document.createRange();
      range.selectNodeContents(node);
      return [...range.getClientRects()].map((rect) => [node, clipped(rect, one), layer(one)]);
    };
    const isText = (node) => node.nodeType === Node.TEXT_NODE && node.data.trim();
    const texts = [...document.querySelectorAll("header *, main *, aside *, dialog *")]
      .filter((one) => isShown(one) && !one.closest(".hidden, .skip, .sheet, svg"))
      .flatMap((one) => [...one.childNodes].filter(isText).flatMap((node) => places(one, node)));
    const cover = (a, b, side, least) => Math.min(a[side + 2], b[side + 2]) - Math.max(a[side], b[side]) > least;
    return texts.flatMap(([text, a, on], at) => texts.slice(at + 1)
      .filter(([other, b, place]) => other !== text && place === on && cover(a, b, 0, 2) && cover(a, b, 1, 6))
      .map(([other]) => `${text.data} | ${other.data}`));
  },
};
