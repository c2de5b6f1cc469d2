// Answers of Prometheus and Loki as the data frames that Grafana's data sources make of them.
import { FieldType, createDataFrame } from '@grafana/data';

const legendOf = (format, labels) =>
  format ? format.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, name) => labels[name] ?? '') : '';

const number = (text) => (text === undefined ? null : Number(text));

const field = (name, type, values, more = {}) => ({ name, type, values, config: {}, ...more });

const overTime = (target, series, all, onGrid) => {
  const { __name__: name, ...labels } = series.metric;
  const at = new Map(series.values.map(([time, value]) => [Math.round(time), number(value)]));
  const legend = legendOf(target.legendFormat, labels) || name || 'Value';
  const grid = onGrid ? all : all.filter((second) => at.has(second));
  const times = grid.map((second) => second * 1000);
  return createDataFrame({
    refId: target.refId,
    name: legend,
    meta: { type: 'timeseries-multi' },
    fields: [
      field('Time', FieldType.time, times, { config: { interval: (all[1] - all[0]) * 1000 } }),
      field('Value', FieldType.number, grid.map((second) => at.get(second) ?? null), {
        labels,
        config: { displayNameFromDS: legend },
      }),
    ],
  });
};

const asTable = (target, result, valueName) => {
  const names = [...new Set(result.flatMap((one) => Object.keys(one.metric)))].sort();
  return createDataFrame({
    refId: target.refId,
    meta: { preferredVisualisationType: 'table' },
    fields: [
      field('Time', FieldType.time, result.map((one) => one.value[0] * 1000)),
      ...names.map((name) => field(name, FieldType.string, result.map((one) => one.metric[name] ?? ''))),
      field(valueName, FieldType.number, result.map((one) => number(one.value[1]))),
    ],
  });
};

const single = (target, one) =>
  createDataFrame({
    refId: target.refId,
    fields: [
      field('Time', FieldType.time, [one.value[0] * 1000]),
      field('Value', FieldType.number, [number(one.value[1])], {
        labels: one.metric,
        config: { displayNameFromDS: legendOf(target.legendFormat, one.metric) || undefined },
      }),
    ],
  });

const asLines = (target, result) => {
  const lines = result
    .flatMap(({ stream, values }) => values.map(([at, line]) => ({ at, line, labels: stream })))
    .sort((a, b) => (BigInt(b.at) > BigInt(a.at) ? 1 : -1));
  return createDataFrame({
    refId: target.refId,
    meta: { preferredVisualisationType: 'logs', limit: target.maxLines },
    fields: [
      field('labels', FieldType.other, lines.map((one) => one.labels)),
      field('Time', FieldType.time, lines.map((one) => Number(BigInt(one.at) / 1000000n))),
      field('Line', FieldType.string, lines.map((one) => one.line)),
      field('id', FieldType.string, lines.map((one, at) => `${one.at}_${at}`)),
    ],
  });
};

// `answer` is what Python recorded: the store's result, the grid of times of a range, and which store it was.
export const framesOf = (target, { result, grid, store }, targets, onGrid) => {
  if (!result.length) {
    return [];
  }
  if ('stream' in result[0]) {
    return [asLines(target, result)];
  }
  if ('values' in result[0]) {
    return result.map((series) => overTime(target, series, grid, onGrid));
  }
  if (store === 'loki') {
    return [asTable(target, result, `Value #${target.refId}`)];
  }
  if (target.format === 'table') {
    const tables = targets.filter((one) => one.format === 'table').length;
    return [asTable(target, result, tables > 1 ? `Value #${target.refId}` : 'Value')];
  }
  return result.map((one) => single(target, one));
};
