import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { defineConfig, type Plugin, runnerImport } from 'vite'
import { parse } from 'yaml'

const API = '../docs/openapi.yaml'
// Beside the function that serves it, so that it is found in the image and in the clone alike.
const OUT = '../functions/upload/page'

/** Once here rather than with every request. */
const compressed: Plugin = {
  name: 'compressed',
  apply: 'build',
  closeBundle() {
    for (const entry of readdirSync(OUT, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue
      const path = join(entry.parentPath, entry.name)
      const content = readFileSync(path)
      writeFileSync(`${path}.br`, brotliCompressSync(content))
      writeFileSync(`${path}.gz`, gzipSync(content, { level: 9 }))
    }
  },
}

/** The API's document, for programs and, as a page without a script, for people. */
const documented: Plugin = {
  name: 'documented',
  transformIndexHtml: {
    order: 'pre',
    async handler(html, { path }) {
      if (path !== '/docs.html') return html
      const { module } = await runnerImport<typeof import('./src/docs/Docs')>('./src/docs/Docs.tsx')
      return html.replace('<!-- document -->', () => module.rendered(api()))
    },
  },
  generateBundle() {
    this.emitFile({ type: 'asset', fileName: 'openapi.json', source: JSON.stringify(api()) })
  },
}

function api() {
  return parse(readFileSync(API, 'utf8'), { merge: true })
}

export default defineConfig({
  plugins: [documented, compressed],
  build: {
    rolldownOptions: { input: ['index.html', 'docs.html'] },
    outDir: OUT,
    emptyOutDir: true,
    // Nothing inline: the Content-Security-Policy allows neither data: nor scripts in the page.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  // `npm run dev` shows changes at once, on the platform that `make up` has started.
  server: {
    proxy: Object.fromEntries(
      ['session', 'register', 'jobs', 'uploads', 'covers'].map((path) => [`/${path}`, 'http://localhost:8080']),
    ),
  },
})
