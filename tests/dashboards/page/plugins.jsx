// Thin panels around the pictures of @grafana/ui: the core's own panel plugins are not published.
import {
  FieldType,
  PanelPlugin,
  cacheFieldDisplayNames,
  getDisplayValueAlignmentFactors,
  getFieldDisplayValues,
  identityOverrideProcessor,
  renderMarkdown,
} from '@grafana/data';
import { BarGauge, BigValue, TimeSeries, VizRepeater, useTheme2 } from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';
import { plots } from './facts.js';
import { property } from './setup.js';

const GRAPH = {
  drawStyle: 'line',
  lineWidth: 1,
  lineInterpolation: 'linear',
  fillOpacity: 0,
  gradientMode: 'none',
  pointSize: 5,
  showPoints: 'auto',
  spanNulls: false,
  insertNulls: false,
  axisPlacement: 'auto',
  axisColorMode: 'text',
  axisLabel: '',
  axisGridShow: true,
  barAlignment: 0,
  barWidthFactor: 0.6,
  scaleDistribution: { type: 'linear' },
  stacking: { mode: 'none', group: 'A' },
  hideFrom: { legend: false, tooltip: false, viz: false },
  thresholdsStyle: { mode: 'off' },
  axisSoftMin: undefined,
  axisSoftMax: undefined,
};
const TABLE = { align: 'auto', cellOptions: { type: 'auto' }, inspect: false, width: undefined, minWidth: undefined, 'hideFrom.viz': false, filterable: false };

const withCustom = (plugin, custom, colour) =>
  plugin.useFieldConfig({
    standardOptions: { color: { defaultValue: { mode: colour } } },
    useCustomConfig: (builder) =>
      Object.entries(custom).forEach(([id, defaultValue]) =>
        builder.addCustomEditor({ ...property(id, identityOverrideProcessor), defaultValue }),
      ),
  });

const Said = ({ children }) => <div className="said-instead">{children}</div>;

const isEmpty = (data, types = [FieldType.number]) =>
  !data.series.some((frame) => frame.fields.some((one) => types.includes(one.type) && one.values.some((value) => value !== null && value !== undefined)));

function Stat({ data, options, fieldConfig, width, height, replaceVariables, timeZone, renderCounter }) {
  const theme = useTheme2();
  const getValues = () =>
    getFieldDisplayValues({
      fieldConfig,
      reduceOptions: options.reduceOptions,
      replaceVariables,
      theme,
      data: data.series,
      sparkline: options.graphMode !== 'none',
      timeZone,
    });
  return (
    <VizRepeater
      getValues={getValues}
      getAlignmentFactors={getDisplayValueAlignmentFactors}
      renderValue={({ value, width, height, alignmentFactors, count }) => (
        <BigValue
          value={value.display}
          count={count}
          sparkline={value.sparkline}
          colorMode={options.colorMode}
          graphMode={options.graphMode}
          justifyMode={options.justifyMode}
          textMode={options.textMode}
          text={options.text}
          alignmentFactors={alignmentFactors}
          width={width}
          height={height}
          theme={theme}
        />
      )}
      width={width}
      height={height}
      source={data}
      itemSpacing={3}
      renderCounter={renderCounter}
      autoGrid
      orientation={options.orientation ?? 'auto'}
    />
  );
}

function Bars({ data, options, fieldConfig, width, height, replaceVariables, timeZone, renderCounter }) {
  const theme = useTheme2();
  const getValues = () =>
    getFieldDisplayValues({ fieldConfig, reduceOptions: options.reduceOptions, replaceVariables, theme, data: data.series, timeZone });
  return (
    <VizRepeater
      getValues={getValues}
      getAlignmentFactors={getDisplayValueAlignmentFactors}
      renderValue={({ value, width, height, alignmentFactors, orientation }) => (
        <BarGauge
          value={value.display}
          width={width}
          height={height}
          orientation={orientation}
          field={value.field}
          text={options.text}
          display={value.view?.getFieldDisplayProcessor(value.colIndex ?? 0)}
          theme={theme}
          itemSpacing={10}
          lcdCellWidth={12}
          displayMode={options.displayMode}
          alignmentFactors={alignmentFactors}
          showUnfilled={options.showUnfilled}
          valueDisplayMode={options.valueMode}
          namePlacement={options.namePlacement}
        />
      )}
      width={width}
      height={height}
      source={data}
      itemSpacing={10}
      renderCounter={renderCounter}
      orientation={options.orientation}
      minVizHeight={options.minVizHeight ?? 16}
      maxVizHeight={options.maxVizHeight ?? 300}
    />
  );
}

const told = (plot, unit) => () => ({
  unit,
  highest: Math.max(0, ...plot.data.slice(1).flatMap((values) => [...values].filter((value) => Number.isFinite(value)))),
  points: plot.data.slice(1).flatMap((values) => [...values]).filter((value) => Number.isFinite(value)).length,
  top: Math.max(...Object.entries(plot.scales).filter(([name]) => name !== 'x').map(([, scale]) => scale.max ?? 0)),
  ticks: (plot.axes[1]?._values ?? []).filter((text) => text !== null),
  slot: plot.bbox.width / devicePixelRatio / Math.max(1, plot.data[0].length),
  bars: plot.series.some((one) => one.paths?.name?.includes('bar')),
});

function Graph({ id, data, options, width, height, timeZone, timeRange, fieldConfig }) {
  const frames = data.series.filter((frame) => frame.fields.length > 1);
  plots.delete(id);
  if (!frames.length) {
    return <Said>{fieldConfig.defaults.noValue ?? 'No data'}</Said>;
  }
  return (
    <TimeSeries frames={frames} width={width} height={height} timeZone={timeZone} timeRange={timeRange} legend={options.legend} options={options} structureRev={data.structureRev}>
      {(builder) => {
        builder.addHook('draw', (plot) => plots.set(id, told(plot, fieldConfig.defaults.unit)));
        return null;
      }}
    </TimeSeries>
  );
}

function Table({ data, options, width, height, fieldConfig, timeRange }) {
  const [frame] = data.series;
  if (!frame?.fields.length || !frame.length) {
    return <Said>{fieldConfig.defaults.noValue ?? 'No data'}</Said>;
  }
  cacheFieldDisplayNames([frame]);
  return (
    <TableNG data={frame} width={width} height={height} noHeader={options.showHeader === false} cellHeight={options.cellHeight} sortBy={options.sortBy} enablePagination={false} fieldConfig={fieldConfig} timeRange={timeRange} structureRev={data.structureRev} getActions={() => []} />
  );
}

function Words({ options, replaceVariables, height }) {
  return <div className="markdown-html words" style={{ height }} dangerouslySetInnerHTML={{ __html: renderMarkdown(replaceVariables(options.content)) }} />;
}

function Lines({ data, height }) {
  const [frame] = data.series;
  const of = (name) => frame.fields.find((one) => one.name === name).values;
  if (!frame?.length) {
    return <Said>No data</Said>;
  }
  return (
    <div className="lines" style={{ height }}>
      {of('Line').map((line, at) => (
        <div key={at}>{new Date(of('Time')[at]).toISOString().replace('T', ' ').slice(0, 23)} {line}</div>
      ))}
    </div>
  );
}

// A lookalike: cells darker where more fell into a bucket, one bucket a row.
function Density({ data, width, height }) {
  const frames = [...data.series].sort((a, b) => Number(a.name.replace('+Inf', 'Infinity')) - Number(b.name.replace('+Inf', 'Infinity')));
  if (isEmpty(data)) {
    return <Said>No data</Said>;
  }
  const rows = frames.map((frame) => frame.fields[1].values);
  const cells = rows.map((row, at) => row.map((value, x) => Math.max(0, (value ?? 0) - (at ? (rows[at - 1][x] ?? 0) : 0))));
  const most = Math.max(...cells.flat(), 1e-9);
  const [high, wide] = [height / rows.length, (width - 40) / rows[0].length];
  return (
    <svg width={width} height={height}>
      {cells.map((row, y) => row.map((value, x) => value > 0 && <rect key={`${x}.${y}`} x={40 + x * wide} y={height - (y + 1) * high} width={wide - 1} height={high - 1} fill={`rgba(255,152,48,${0.25 + (0.75 * value) / most})`} />))}
      {frames.map((frame, y) => high * (y + 1) >= 0 && <text key={y} x={2} y={height - (y + 0.3) * high} fontSize={10} fill="currentColor">{frame.name}</text>)}
    </svg>
  );
}

const AlertList = () => <Said>(Grafana&apos;s server lists here what fires)</Said>;

const panel = (component, custom, colour = 'thresholds') => withCustom(new PanelPlugin(component), custom, colour);

export const PLUGINS = {
  stat: panel(Stat, {}),
  bargauge: panel(Bars, {}),
  timeseries: panel(Graph, GRAPH, 'palette-classic'),
  table: panel(Table, TABLE),
  heatmap: panel(Density, {}),
  logs: panel(Lines, {}),
  text: new PanelPlugin(Words),
  alertlist: new PanelPlugin(AlertList),
};
