import { spawnSync } from 'node:child_process'
import { resolve } from 'node:path'
import { expect, test } from 'vitest'
import { framework, loadModule, missing } from './framework.ts'

const SOURCES = resolve(import.meta.dirname, '..')

/** Runs a module in a process that has none of the packages whose names begin so. */
function without(packages: readonly string[], body: string) {
  const hide = `
    import { registerHooks } from 'node:module'
    registerHooks({ resolve(specifier, context, next) {
      if (${JSON.stringify(packages)}.some((name) => specifier.startsWith(name)))
        throw new Error('not installed')
      return next(specifier, context)
    } })`
  const program = `${hide}\n${body.replaceAll('SOURCES', SOURCES)}`
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    ['--no-warnings', '--conditions=source', '--input-type=module', '-e', program],
    {
      encoding: 'utf8',
      timeout: 60_000,
      env: {
        PATH: process.env['PATH'] ?? '',
        NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'],
      },
    },
  )
  expect(status, stderr).toBe(0)
  return stdout
}

test('the version of a framework is the installed one, and empty where there is none', () => {
  expect(framework('langchain', ['@langchain/core'])).toEqual({
    name: 'langchain',
    version: '1.2.13',
  })
  expect(framework('nowhere', ['@vestry/not-there'])).toEqual({ name: 'nowhere', version: '' })
})

test('a package that is not installed is named, with what to do', async () => {
  expect(await loadModule('@vestry/not-there')).toBeUndefined()
  expect(missing('installCoat', 'some-package').message).toMatch(/npm install some-package$/)
})

test('without the frameworks the doors open, and using them says what is missing', () => {
  const out = without(
    ['@langchain/', '@openai/'],
    `const langchain = await import('SOURCES/langchain/index.ts')
     const agents = await import('SOURCES/openai-agents/index.ts')
     const uses = [
       () => new langchain.CoatCallbackHandler(),
       () => langchain.installCoat(),
       () => agents.installCoat(),
     ]
     for (const use of uses) {
       try { await use(); console.log('worked') } catch (error) { console.log(error.name, error.message) }
     }`,
  )
  expect(out.trimEnd().split('\n')).toEqual([
    expect.stringMatching(/^MissingFramework .* npm install @langchain\/core$/),
    expect.stringMatching(/^MissingFramework .* npm install @langchain\/core$/),
    expect.stringMatching(/^MissingFramework .* npm install @openai\/agents$/),
  ])
})

test('adapters that wrap what they are given load no framework at all', () => {
  const out = without(
    ['@', 'ai'],
    `const { coatModel } = await import('SOURCES/ai-sdk/index.ts')
     const { coatQuery } = await import('SOURCES/claude-agent/index.ts')
     const { CoatTracingProcessor } = await import('SOURCES/openai-agents/index.ts')
     new CoatTracingProcessor()
     const model = coatModel({ doGenerate: async () => ({ text: 'x' }), doStream() {} })
     console.log((await model.doGenerate({})).text, typeof coatQuery(() => ({})))`,
  )
  expect(out).toBe('x function\n')
})

test('telemetry §16.44: what a query of the Claude Agent SDK has open is cancelled when the process ends', () => {
  const program = `
    import { coatQuery } from '${SOURCES}/claude-agent/index.ts'
    import { assistant, recordedQuery, use } from '${SOURCES}/claude-agent/recorded-query.test-kit.ts'
    const scenes = [assistant('msg_1', [1, 1], [use('toolu_1', 'Bash')]), { waits: true }]
    const query = coatQuery(recordedQuery(scenes))({ prompt: 'q' })
    await query.next()
    process.exit(3)`
  const { stderr, status } = spawnSync(
    process.execPath,
    ['--no-warnings', '--input-type=module', '-e', program],
    {
      encoding: 'utf8',
      timeout: 60_000,
      env: {
        PATH: process.env['PATH'] ?? '',
        NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'],
      },
    },
  )
  expect(status).toBe(3)
  const events = stderr
    .split('\n')
    .filter((line) => line.startsWith('[coat] '))
    .map((line) => JSON.parse(line.slice('[coat] '.length)))
  const ends = events.filter(({ payload }) => payload.status !== undefined)
  expect(ends.map(({ kind, payload }) => [kind, payload.status])).toEqual([
    ['agent.llm.response', 'cancelled'],
    ['agent.tool.result', 'cancelled'],
    ['agent.run.end', 'cancelled'],
  ])
})
