// What a reader sees, as plain facts of the page; the tests say which of them are wrong.
export const plots = new Map(); // panel id → what was plotted, as the plot itself says it

const panels = () => [...document.querySelectorAll('[data-viz-panel-key]')];
const titleOf = (panel) => panel.querySelector('h2')?.textContent ?? '';

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

const ground = (element) => {
  const chain = [];
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

const texts = (panel) => {
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

const dim = (panel) =>
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

// Text may be scrolled to downwards in a table; nothing may lie to the right, and words never need scrolling.
const outside = (panel) => {
  const frame = panel.getBoundingClientRect();
  const found = [];
  for (const { element, box, text } of texts(panel)) {
    const table = element.closest('[role=grid]');
    if (box.right > frame.right + 1 || box.left < frame.left - 1 || (!table && box.bottom > frame.bottom + 1)) {
      found.push(text);
    }
  }
  for (const words of panel.querySelectorAll('.words')) {
    if (words.scrollHeight > words.clientHeight + 1 || words.scrollWidth > words.clientWidth + 1) {
      found.push('words do not fit');
    }
    for (const code of words.querySelectorAll('pre, code')) {
      if (code.scrollWidth > code.clientWidth + 1 && getComputedStyle(code).display === 'block') {
        found.push(`cut: ${code.textContent}`);
      }
    }
  }
  for (const grid of panel.querySelectorAll('[role=grid]')) {
    if (grid.scrollWidth > grid.clientWidth + 1) {
      found.push(`columns end at ${grid.scrollWidth} of ${grid.clientWidth}`);
    }
  }
  return found;
};

const cut = (panel) =>
  texts(panel)
    .filter(({ element }) => {
      for (let one = element; one && one !== panel; one = one.parentElement) {
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

const legend = (panel) =>
  [...panel.querySelectorAll('[data-testid^="data-testid VizLegend series"]')].map((one) => one.textContent.trim());

const columns = (panel) =>
  [...panel.querySelectorAll('[role=columnheader]')].map((one) => one.textContent.trim());

const rows = (panel) =>
  [...panel.querySelectorAll('[role=row]')]
    .map((row) => [...row.querySelectorAll('[role=gridcell]')].map((one) => one.textContent.trim()))
    .filter((row) => row.length);

const links = (panel) =>
  [...panel.querySelectorAll('a[href]')].map((one) => [one.textContent.trim(), one.getAttribute('href')]);

// Numbers on a ground of their own: what they say, and the ground's colour.
const tiles = (panel) =>
  [...panel.querySelectorAll('div')]
    .filter((one) => one.style.background || one.style.backgroundColor)
    .map((one) => [one.textContent.trim(), getComputedStyle(one).backgroundColor])
    .filter(([text]) => text);

// Legend entries and the colour of their line.
const shades = (panel) =>
  [...panel.querySelectorAll('[data-testid^="data-testid VizLegend series"]')].map((one) => [
    one.textContent.trim(),
    getComputedStyle(one.querySelector('[data-testid="series-icon"]') ?? one).backgroundColor,
  ]);

export const facts = () =>
  panels().map((panel) => {
    const id = Number(panel.getAttribute('data-viz-panel-key').split('-').at(-1));
    return {
      id,
      title: titleOf(panel),
      text: texts(panel).map(({ text }) => text),
      cut: cut(panel),
      outside: outside(panel),
      dim: dim(panel),
      legend: legend(panel),
      columns: columns(panel),
      rows: rows(panel),
      links: links(panel),
      tiles: tiles(panel),
      shades: shades(panel),
      said: [...panel.querySelectorAll('.said-instead')].map((one) => one.textContent),
      plot: plots.get(id)?.() ?? null,
    };
  });
