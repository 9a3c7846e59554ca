/** What a program with wrapped functions must not notice, seen from outside: as processes of their own. */
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { envelopes, script } from './script.test-kit.ts'
import { TestCollector } from './transport/collector.test-kit.ts'

test('importing it does nothing, and using it keeps no process alive', async () => {
  const idle = await script(`
    const events = ['exit', 'beforeExit', 'uncaughtExceptionMonitor', 'SIGTERM']
    const timers = process.getActiveResourcesInfo().filter((kind) => /Timeout|TCP|Immediate/.test(kind))
    console.log(events.map((name) => process.listenerCount(name)).join(), timers.length)`)
  expect(idle).toEqual({ code: 0, stdout: '0,0,0,0 0\n', stderr: '' })
  const used = await script(`
    coat('tool', () => 1)()
    coat('tool', function* () { yield 1 })().next()
    coat('tool', () => ({ then() {} }))()
    tie('x')`)
  expect(used.code).toBe(0)
  expect(envelopes(used).map(({ kind }) => kind)).toEqual([
    'agent.tool.call',
    'agent.tool.result',
    'agent.tool.call',
    'agent.tool.call',
    'x.coat.tie',
  ])
})

test('nor does an absent socket, which is said once', async () => {
  const ended = await script(
    `for (let n = 0; n < 50; n += 1) coat('tool', () => n)()
     setTimeout(() => {}, 100)`,
    { ENVPOD_POD_ID: 'pod_x', ENVPOD_SOCKET: '/nowhere/queue.sock' },
  )
  expect(ended.code).toBe(0)
  const warnings = ended.stderr.split('\n').filter((line) => line.startsWith('[coat:warn] '))
  expect(warnings).toEqual([expect.stringContaining('writing events to stderr')])
  expect(envelopes(ended).filter(({ kind }) => kind.startsWith('agent.'))).toHaveLength(100)
})

test('telemetry §16.5: a rejection nobody handles ends the process as it would have', async () => {
  const body = `async () => { throw new Error('unhandled one') }`
  const plain = await script(`(${body})()`, { ENVPOD_COAT_TRANSPORT: 'off' })
  const wrapped = await script(`coat('tool', ${body})()`, { ENVPOD_COAT_TRANSPORT: 'off' })
  for (const ended of [plain, wrapped]) {
    expect(ended.code).toBe(1)
    expect(ended.stderr).toContain('Error: unhandled one')
  }
  const subclass = await script(
    `class Sub extends Promise {}
     coat('tool', () => Sub.reject(new Error('unhandled two')))()`,
    { ENVPOD_COAT_TRANSPORT: 'off' },
  )
  expect(subclass.code).toBe(1)
  expect(subclass.stderr).toContain('Error: unhandled two')
})

test('telemetry §16.5: and one that is handled, later too, does not', async () => {
  const ended = await script(
    `process.on('unhandledRejection', () => console.log('unhandled'))
     const fail = coat('llm', async () => { throw new Error('x') })
     await fail().catch(() => {})
     await Promise.allSettled([fail(), fail()])
     class Sub extends Promise {}
     await coat('llm', () => Sub.reject(new Error('x')))().catch(() => {})
     const steps = coat('step', async function* () { throw new Error('x') })()
     await steps.next().catch(() => {})
     await new Promise((resolve) => setTimeout(resolve, 50))
     console.log('end')`,
    { ENVPOD_COAT_TRANSPORT: 'off' },
  )
  expect(ended).toMatchObject({ code: 0, stdout: 'end\n' })
})

test('what the program throws ends it as it would have', async () => {
  const ended = await script(`coat('tool', () => { throw new TypeError('mine') })()`)
  expect(ended.code).toBe(1)
  expect(ended.stderr).toContain('TypeError: mine')
  expect(envelopes(ended).map(({ payload }) => payload['status'])).toEqual([undefined, 'error'])
  const exited = await script(`coat('tool', () => process.exit(7))()`)
  expect(exited.code).toBe(7)
})

test('no listener for signals, warnings or rejections is added, and no prototype changed', async () => {
  const ended = await script(`
    const globals = [Object, Function, Array, Promise, Error, globalThis.ReadableStream, Map]
    const shape = () => JSON.stringify(globals.map((of) => Reflect.ownKeys(of.prototype).map(String)))
    const before = shape()
    for (let n = 0; n < 3; n += 1) await coat('llm', async () => tie('x', { n }))()
    await flush()
    const events = ['SIGTERM', 'SIGINT', 'SIGHUP', 'warning', 'unhandledRejection', 'uncaughtException']
    console.log(shape() === before, events.map((name) => process.listenerCount(name)).join())
    await shutdown()`)
  expect(ended).toMatchObject({ code: 0, stdout: 'true 0,0,0,0,0,0\n' })
})

test('what is misconfigured is said once and harms nothing', async () => {
  const ended = await script(
    `configure({ colour: 'red', previewLen: -1 })
     configure({ colour: 'red', previewLen: -1 })
     configure(null)
     configure(5)
     console.log(coat('tool', () => 'fine')(), await flush('soon'), stats().emitted)`,
    { ENVPOD_COAT_CAPTURE: 'loud' },
  )
  expect(ended).toMatchObject({ code: 0, stdout: 'fine true 2\n' })
  const warnings = ended.stderr.split('\n').filter((line) => line.startsWith('[coat:warn] '))
  expect(warnings).toHaveLength(3)
})

test('while disabled nothing is written and no context is kept', async () => {
  const ended = await script(
    `console.log(coat('tool', () => String(current()))(), stats().emitted)`,
    { ENVPOD_COAT_DISABLED: '1', ENVPOD_POD_ID: 'pod_x' },
  )
  expect(ended).toEqual({ code: 0, stdout: 'undefined 0\n', stderr: '' })
})

test('settings that change the way out do not lose what was counted', async () => {
  const ended = await script(
    `coat('tool', () => 1)()
     await flush()
     configure({ transport: 'file:/dev/null' })
     coat('tool', () => 1)()
     await flush()
     await new Promise((resolve) => setTimeout(resolve, 20))
     const { emitted, written, transport, dropped } = stats()
     console.log(emitted, written, transport, dropped.lifecycle)`,
  )
  expect(ended.stdout).toBe('4 4 file 0\n')
})

test('telemetry §16.10: a ceiling that is left out by name stays', async () => {
  const ended = await script(
    `configure({ maxCapture: 'none' })
     configure({ maxCapture: undefined, stack: false })
     coat('tool', () => 1)('canary')`,
    { ENVPOD_COAT_CAPTURE: 'raw' },
  )
  expect(envelopes(ended)).toHaveLength(2)
  expect(ended.stderr).not.toContain('canary')
})

test('who emits whenever the loop runs dry does not run for ever, though nobody reads', async () => {
  const peer = await new TestCollector().listen()
  onTestFinished(() => peer[Symbol.asyncDispose]())
  peer.stall()
  const ended = await script(
    `const work = coat('tool', { autoCapture: true, previewLen: 60_000 }, () => 1)
     let rounds = 0
     process.on('beforeExit', () => {
       rounds += 1
       if (rounds > 30) process.exit(9)
       for (let n = 0; n < 100; n += 1) work('x'.repeat(9000))
     })
     process.on('exit', () => console.log(rounds < 10))`,
    { ENVPOD_POD_ID: 'pod_x', ENVPOD_SOCKET: peer.path },
  )
  expect(ended).toMatchObject({ code: 0, stdout: 'true\n' })
})

function directory(): string {
  const path = mkdtempSync(join(tmpdir(), 'coat-'))
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  return path
}

test('two copies of the library that flush on signals do not wait for each other', async () => {
  const copy = directory()
  cpSync(import.meta.dirname, copy, { recursive: true, filter: (path) => !/\.test/.test(path) })
  const ended = await script(
    `import * as other from ${JSON.stringify(pathToFileURL(join(copy, 'index.ts')).href)}
     for (const each of [{ coat, configure }, other]) {
       each.configure({ flushOnSignals: true })
       each.coat('tool', () => 1)()
     }
     setTimeout(() => process.exit(3), 5000)
     process.kill(process.pid, 'SIGTERM')`,
  )
  // Ended by the signal, thus without a code.
  expect(ended.code).toBeNull()
  expect(envelopes(ended)).toHaveLength(4)
})

test('no listener of the library is the one too many', async () => {
  const ended = await script(`
    const warnings = []
    process.on('warning', ({ name }) => warnings.push(name))
    for (const name of ['exit', 'beforeExit', 'uncaughtExceptionMonitor'])
      while (process.listenerCount(name) < process.getMaxListeners()) process.on(name, () => {})
    coat('tool', () => 1)()
    await new Promise((resolve) => setTimeout(resolve, 20))
    console.log(warnings.length)`)
  expect(ended).toMatchObject({ code: 0, stdout: '0\n' })
})
