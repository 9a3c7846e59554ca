import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const run = promisify(execFile)
const source = fileURLToPath(new URL('..', import.meta.url))

/** What importing a door loads: our files, other packages, and what of Node it pulls in. */
async function loads(door: string): Promise<{ urls: string[]; builtins: string[] }> {
  const script = `
    import { registerHooks } from 'node:module'
    const urls = new Set()
    registerHooks({ resolve(specifier, context, next) {
      const resolved = next(specifier, context)
      urls.add(resolved.url)
      return resolved
    } })
    const before = new Set(process.moduleLoadList)
    await import(${JSON.stringify(`${source}${door}/index.ts`)})
    const builtins = process.moduleLoadList.filter((name) => !before.has(name))
    console.log(JSON.stringify({ urls: [...urls], builtins }))`
  const args = ['--conditions=source', '--no-warnings', '--input-type=module', '-e', script]
  const { stdout } = await run(process.execPath, args)
  return JSON.parse(stdout)
}

const NETWORK =
  /^NativeModule (?:net|tls|http|https|http2|dns|dgram|_http.*|internal\/deps\/undici\/.*)$/

test.each(['llm', 'testing', 'agent'])(
  'the door %s loads nothing but node: modules, the zod-free contract, the active trace and our own files',
  async (door) => {
    const { urls, builtins } = await loads(door)
    const outside = urls.filter((url) => !url.startsWith('node:') && !url.includes(source))
    const known =
      /\/(?:contract\/src\/(?:errors|version)|coat\/src\/(?:traceparent|active|ids))\.ts$/
    expect(outside.filter((url) => !known.test(url))).toEqual([])
    expect(urls.length).toBeGreaterThan(20)
    expect(builtins.filter((name) => NETWORK.test(name))).toEqual([])
    expect(urls.filter((url) => url.includes('.test'))).toEqual([])
  },
)

test('the door of LangChain loads its peer and nothing else from outside', async () => {
  const { urls } = await loads('langchain')
  const direct = urls.filter((url) => url.includes('/node_modules/@langchain/core/'))
  expect(direct.length).toBeGreaterThan(5)
  const ours = urls.filter((url) => url.includes('/packages/') && !url.includes(source))
  expect(ours.filter((url) => !/\/contract\/src\/(?:errors|version)\.ts$/.test(url))).toEqual([])
})

test('every provider that can be found can be called directly', async () => {
  const { TRANSLATIONS, PROVIDERS } = await import('./providers/index.ts')
  expect(TRANSLATIONS.map(({ id }) => id)).toEqual(PROVIDERS.map(({ provider }) => provider))
})
