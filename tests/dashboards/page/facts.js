// What a reader sees, as plain facts of the page; the tests say which of them are wrong.
import { cut, dim, texts } from '../../support/readable.js';
export const plots = new Map(); // panel id → what was plotted, as the plot itself says it

const panels = () => [...document.querySelectorAll('[data-viz-panel-key]')];
const titleOf = (panel) => panel.querySelector('h2')?.textContent ?? '';

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
      box: ((box) => [box.left, box.top, box.right, box.bottom])(panel.getBoundingClientRect()),
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
