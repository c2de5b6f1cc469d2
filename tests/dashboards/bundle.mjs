// Bundle the page: `node bundle.mjs MODULES TARGET`; MODULES is the folder that `npm ci` filled.
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const [modules, target] = process.argv.slice(2);
const { build } = createRequire(path.join(modules, 'x.js'))('esbuild');
const here = path.dirname(fileURLToPath(import.meta.url));
await build({
  entryPoints: [path.join(here, 'page', 'main.jsx')],
  outdir: target,
  nodePaths: [path.join(modules, 'node_modules')],
  bundle: true,
  minify: true,
  format: 'iife',
  jsx: 'automatic',
  legalComments: 'none',
  logLevel: 'error',
  define: { 'process.env.NODE_ENV': '"production"', global: 'window', 'process.env.NODE_DEBUG': 'undefined' },
  loader: { '.svg': 'text', '.woff2': 'dataurl', '.woff': 'empty' },
  // Grafana loads these when somebody edits a query; no panel does.
  external: ['monaco-editor', '@monaco-editor/react'],
});
