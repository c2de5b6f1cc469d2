// `draw(…)` puts one dashboard on the page; `facts()` says what a reader would find wrong with it.
import '@fontsource/inter/400.css';
import '@fontsource/inter/500.css';
import { LoadingState, ThemeContext, dateTime, rangeUtil } from '@grafana/data';
import {
  CustomVariable,
  EmbeddedScene,
  SceneControlsSpacer,
  SceneDataNode,
  SceneDataTransformer,
  SceneGridItem,
  SceneGridLayout,
  SceneGridRow,
  SceneTimePicker,
  SceneTimeRange,
  SceneVariableSet,
  VariableValueSelectors,
  VizPanel,
  sceneUtils,
} from '@grafana/scenes';
import { GlobalStyles, PortalContainer } from '@grafana/ui';
import { createRoot } from 'react-dom/client';
import { MemoryRouter } from 'react-router-dom';
import { facts, plots } from './facts.js';
import { framesOf } from './frames.js';
import { PLUGINS } from './plugins.jsx';
import { setUp, themes, useTheme } from './setup.js';

const ready = setUp().then(() =>
  Object.entries(PLUGINS).forEach(([pluginId, plugin]) => sceneUtils.registerRuntimePanelPlugin({ pluginId, plugin })),
);

const rangeOf = ({ from, to }) => {
  const [start, end] = [dateTime(from * 1000), dateTime(to * 1000)];
  return { from: start, to: end, raw: { from: start, to: end } };
};

const panelOf = (panel, answers, range) => {
  const targets = panel.targets ?? [];
  const series = targets.flatMap((target) => framesOf(target, answers[`${panel.id} ${target.refId}`] ?? { result: [] }, targets, ON_A_GRID.includes(panel.type)));
  const $data = new SceneDataNode({ data: { series, state: LoadingState.Done, timeRange: range, structureRev: 1 } });
  return new VizPanel({
    key: `panel-${panel.id}`,
    title: panel.title,
    description: panel.description,
    pluginId: panel.type,
    options: panel.options ?? {},
    fieldConfig: panel.fieldConfig ?? { defaults: {}, overrides: [] },
    $data: new SceneDataTransformer({ $data, transformations: panel.transformations ?? [] }),
  });
};

const place = ({ x = 0, y = 0, w, h }) => ({ x, y, width: w, height: h });

const childOf = (panel, answers, range) =>
  panel.type === 'row'
    ? new SceneGridRow({ title: panel.title, ...place(panel.gridPos), isCollapsed: panel.collapsed ?? false })
    : new SceneGridItem({ ...place(panel.gridPos), body: panelOf(panel, answers, range) });

const sceneOf = ({ board, answers, values, from, to }) => {
  const range = rangeOf({ from, to });
  // Grafana nests what follows a row into it; a flat list draws the same.
  const variables = board.templating.list.map((one) => {
    const value = values[one.name] ?? '';
    const all = one.includeAll && /^\.[+*]$/.test(value);
    return new CustomVariable({
      name: one.name,
      label: one.label,
      query: value || ' ',
      value: all ? ['$__all'] : one.multi ? [value] : value,
      text: all ? ['All'] : one.multi ? [value] : value,
      isMulti: one.multi,
      includeAll: one.includeAll,
      allValue: one.allValue,
    });
  });
  return new EmbeddedScene({
    $timeRange: new SceneTimeRange({ from: range.from.toISOString(), to: range.to.toISOString(), timeZone: 'utc', value: range }),
    $variables: new SceneVariableSet({ variables }),
    controls: [new VariableValueSelectors({}), new SceneControlsSpacer(), new SceneTimePicker({})],
    body: new SceneGridLayout({ children: board.panels.map((panel) => childOf(panel, answers, range)), isDraggable: false, isResizable: false }),
  });
};

// The core fills gaps in these; elsewhere a store's answer has no point where nothing was.
const ON_A_GRID = ['timeseries', 'heatmap'];

let root;

window.draw = async (given) => {
  await ready;
  useTheme(given.theme);
  const theme = themes[given.theme];
  root?.unmount();
  plots.clear();
  const element = document.getElementById('page');
  document.body.style.background = theme.colors.background.canvas;
  document.body.style.color = theme.colors.text.primary;
  document.documentElement.lang = 'en';
  const rows = Math.max(...given.board.panels.map((panel) => (panel.gridPos.y ?? 0) + panel.gridPos.h));
  element.style.height = `${rows * 38 + 190}px`;
  const broken = [];
  root = createRoot(element, { onUncaughtError: (error) => broken.push(error), onCaughtError: (error) => broken.push(error) });
  const scene = sceneOf(given);
  root.render(
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <MemoryRouter>
        <h1 className="title">{given.board.title}</h1>
        <scene.Component model={scene} />
        <PortalContainer />
      </MemoryRouter>
    </ThemeContext.Provider>,
  );
  await document.fonts.ready;
  await settled(given.board.panels.filter((panel) => panel.type !== 'row').length, broken);
};

// Panels measure themselves and draw again: wait until what is there has not changed for a while.
const settled = async (panels, broken) => {
  let [before, calm, tries] = ['', 0, 0];
  while (calm < 3 && tries++ < 200) {
    await new Promise((done) => setTimeout(done, 60));
    if (broken.length) {
      throw new Error(broken.map((error) => error.stack ?? String(error)).join('\n'));
    }
    const found = document.querySelectorAll('[data-viz-panel-key]').length;
    const now = `${document.getElementById('page').innerHTML.length} ${document.querySelectorAll('canvas').length}`;
    calm = found >= panels && now === before ? calm + 1 : 0;
    before = now;
  }
  if (calm < 3) {
    throw new Error(`still drawing: ${document.querySelectorAll('[data-viz-panel-key]').length} of ${panels} panels`);
  }
};

window.facts = facts;
// Grafana's own choice of an interval, for the harness to ask the stores as a panel would.
window.intervalOf = (from, to, points, lowest) =>
  rangeUtil.calculateInterval(rangeOf({ from, to }), points, lowest).intervalMs / 1000;
