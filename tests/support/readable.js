// How text stands on a page: its contrast to what is behind it, and whether all of it can be seen.
const rgb = (text) => {
  const [r, g, b, a = 1] = (text.match(/[\d.]+/g) ?? [0, 0, 0, 0]).map(Number);
  return { r, g, b, a };
};
const over = (top, below) => ({
  r: top.r * top.a + below.r * (1 - top.a),
  g: top.g * top.a + below.g * (1 - top.a),
  b: top.b * top.a + below.b * (1 - top.a),
  a: 1,
});
const light = ({ r, g, b }) => {
  const [x, y, z] = [r, g, b].map((part) => (part / 255 <= 0.03928 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
};
const ratio = (a, b) => {
  const [high, low] = [light(a), light(b)].sort((x, y) => y - x);
  return (high + 0.05) / (low + 0.05);
};

// What a drawing has painted behind a text of its own.
const painted = (text) => {
  const { x, y, width, height } = text.getBoundingClientRect();
  return [...text.ownerSVGElement.querySelectorAll('rect')]
    .filter((one) => {
      const box = one.getBoundingClientRect();
      const inside = box.x <= x + width / 2 && box.right >= x + width / 2 && box.y <= y + height / 2 && box.bottom >= y + height / 2;
      return inside && one.compareDocumentPosition(text) & Node.DOCUMENT_POSITION_FOLLOWING;
    })
    .map((one) => {
      const style = getComputedStyle(one);
      const fill = rgb(style.fill === 'none' ? 'rgba(0, 0, 0, 0)' : style.fill);
      return { ...fill, a: fill.a * Number(style.fillOpacity) };
    })
    .reverse();
};

const ground = (element) => {
  const chain = element.ownerSVGElement ? painted(element) : [];
  for (let one = element; one; one = one.parentElement) {
    const image = getComputedStyle(one).backgroundImage;
    const stops = image.startsWith('linear-gradient') ? image.match(/rgba?\([^)]*\)/g) : null;
    chain.push(rgb(stops ? stops[0] : getComputedStyle(one).backgroundColor));
    if (chain.at(-1).a === 1) {
      break;
    }
  }
  return chain.reduceRight((below, top) => over(top, below), rgb(getComputedStyle(document.body).backgroundColor));
};

export const texts = (panel) => {
  const found = [];
  const walker = document.createTreeWalker(panel, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    const style = getComputedStyle(element);
    if (walker.currentNode.textContent.trim() && style.visibility !== 'hidden' && element.checkVisibility({ checkOpacity: true }) && !element.closest('style,script')) {
      const range = document.createRange();
      range.selectNodeContents(walker.currentNode);
      const box = range.getBoundingClientRect();
      if (box.width > 1 && box.height > 1) {
        found.push({ element, box, text: walker.currentNode.textContent.trim() });
      }
    }
  }
  return found;
};

export const dim = (panel) =>
  texts(panel)
    .map(({ element, text }) => {
      const style = getComputedStyle(element);
      const back = ground(element);
      const shade = element.closest('svg') ? style.fill : style.color;
      return { text, contrast: ratio(over(rgb(shade), back), back) };
    })
    .filter(({ contrast }) => contrast < 4.5)
    .map(({ text, contrast }) => `${text} ${contrast.toFixed(1)}`);

const scrolls = (element) => ['auto', 'scroll'].includes(getComputedStyle(element).overflowY);

// Dots in the place of the end: they come with the first fraction of a pixel that is missing.
const dotted = (element, box) => {
  const style = getComputedStyle(element);
  const room = element.getBoundingClientRect().width - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
  return style.textOverflow === 'ellipsis' && style.overflowX === 'hidden' && (element.scrollWidth > element.clientWidth || box.width > room + 0.1);
};

export const cut = (panel) =>
  texts(panel)
    .filter(({ element, box }) => {
      for (let one = element; one && one !== panel; one = one.parentElement) {
        if (dotted(one, box)) {
          return true;
        }
        if (getComputedStyle(one).overflowX !== 'visible' && !scrolls(one) && one.scrollWidth > one.clientWidth + 1 && one.clientWidth > 0) {
          return true;
        }
        if (one.matches('[role=gridcell],[role=columnheader],h2')) {
          return one.scrollWidth > one.clientWidth + 1;
        }
      }
      return false;
    })
    .map(({ text }) => text);
