// What Grafana's core hands to its libraries before the first panel is drawn.
import {
  EventBusSrv,
  FieldColorModeId,
  FieldType,
  booleanOverrideProcessor,
  createDataFrame,
  createTheme,
  dataLinksOverrideProcessor,
  displayNameOverrideProcessor,
  identityOverrideProcessor,
  numberOverrideProcessor,
  standardFieldConfigEditorRegistry,
  standardTransformers,
  standardTransformersRegistry,
  stringOverrideProcessor,
  thresholdsOverrideProcessor,
  unitOverrideProcessor,
  valueMappingsOverrideProcessor,
} from '@grafana/data';
import { initPluginTranslations } from '@grafana/i18n';
import { config, setAppEvents, setPluginImportUtils, setTemplateSrv } from '@grafana/runtime';
import { map } from 'rxjs';

const STANDARD = {
  displayName: displayNameOverrideProcessor,
  unit: unitOverrideProcessor,
  min: numberOverrideProcessor,
  max: numberOverrideProcessor,
  fieldMinMax: booleanOverrideProcessor,
  decimals: numberOverrideProcessor,
  noValue: stringOverrideProcessor,
  color: identityOverrideProcessor,
  thresholds: thresholdsOverrideProcessor,
  mappings: valueMappingsOverrideProcessor,
  links: dataLinksOverrideProcessor,
  filterable: booleanOverrideProcessor,
};

const nothing = () => null;

export const property = (id, process, more = {}) => ({
  id,
  path: id,
  name: id,
  editor: nothing,
  override: nothing,
  process,
  shouldApply: () => true,
  ...more,
});

// Lift each line's labels into columns, as the core's own `extractFields` does for the source `labels`.
const extractFields = {
  id: 'extractFields',
  name: 'extractFields',
  defaultOptions: {},
  operator: ({ source }) =>
    map((frames) =>
      frames.map((frame) => {
        const rows = frame.fields.find((one) => one.name === source)?.values ?? [];
        const names = [...new Set(rows.flatMap((row) => Object.keys(row)))];
        const lifted = names.map((name) => ({
          name,
          type: FieldType.string,
          config: {},
          values: rows.map((row) => row[name]),
        }));
        return createDataFrame({ ...frame, fields: [...frame.fields, ...lifted] });
      }),
    ),
};

export const themes = { dark: createTheme({ colors: { mode: 'dark' } }), light: createTheme({ colors: { mode: 'light' } }) };

export const useTheme = (mode) => {
  config.theme2 = themes[mode];
  config.theme = themes[mode].v1;
};

export const setUp = async () => {
  await initPluginTranslations('grafana', []);
  setAppEvents(new EventBusSrv());
  setPluginImportUtils({
    getPanelPluginFromCache: () => undefined,
    importPanelPlugin: (id) => Promise.reject(new Error(`no panel of type ${id} here`)),
  });
  setTemplateSrv({ getVariables: () => [], replace: (text) => text ?? '', containsTemplate: () => false });
  standardFieldConfigEditorRegistry.setInit(() =>
    Object.entries(STANDARD).map(([id, process]) =>
      property(id, process, id === 'color' ? { defaultValue: { mode: FieldColorModeId.Thresholds } } : {}),
    ),
  );
  standardTransformersRegistry.setInit(() =>
    [...new Set([...Object.values(standardTransformers), extractFields])].map((one) => ({
      id: one.id,
      name: one.name,
      transformation: async () => one,
      editor: nothing,
    })),
  );
};
