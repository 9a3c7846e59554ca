/** What a program, or a library it uses, may have done to the built-ins: the wrappers go on. */
import { expect, test } from 'vitest'
import { script } from './script.test-kit.ts'

test('frozen built-ins, and no code made of text, change nothing', async () => {
  const work = `
    for (const _ of coat('tool', function* () { yield 1 })());
    for await (const _ of coat('tool', async function* () { yield 1 })());
    await coat('llm', async () => ({ choices: [], usage: { prompt_tokens: 1 } }))({ model: 'gpt-x' })
    tie('x', new Map([['a', [1, { b: new Error('c') }]]]))
    console.log(stats().emitted, stats().faults)`
  const env = { ENVPOD_COAT_CAPTURE: 'redacted' }
  for (const flag of ['--frozen-intrinsics', '--disallow-code-generation-from-strings']) {
    const ended = await script(work, env, [flag])
    expect(ended).toMatchObject({ code: 0, stdout: '7 0\n' })
  }
})

/** As statements; `replace` puts something that throws in the place of a method. */
const REPLACED: Readonly<Record<string, string>> = {
  'Promise.prototype.then': `replace(Promise.prototype, 'then')`,
  'JSON.stringify': `replace(JSON, 'stringify')`,
  'Array.prototype.toJSON': `replace(Array.prototype, 'toJSON')`,
  'Object.prototype.toJSON': `replace(Object.prototype, 'toJSON')`,
  'Object.prototype.get': `replace(Object.prototype, 'get')`,
  'Object.prototype.then': `replace(Object.prototype, 'then')`,
  'Object.keys': `replace(Object, 'keys')`,
  'Object.freeze': `replace(Object, 'freeze')`,
  'Reflect.apply': `replace(Reflect, 'apply')`,
  'RegExp.prototype.exec': `replace(RegExp.prototype, 'exec')`,
  'Map.prototype.get': `replace(Map.prototype, 'get')`,
  'WeakMap.prototype.get': `replace(WeakMap.prototype, 'get')`,
  'String.prototype.slice': `replace(String.prototype, 'slice')`,
  'Array iteration': `replace(Array.prototype, Symbol.iterator)`,
  'performance.now': `replace(performance, 'now')`,
  'Date.now': `replace(Date, 'now')`,
  setTimeout: `replace(globalThis, 'setTimeout')`,
  'Buffer.from': `replace(Buffer, 'from')`,
  'process.stderr': `replaceGetter(process, 'stderr')`,
  'process.env': `replaceGetter(process, 'env')`,
}

const program = (isUsedBefore: boolean) => `
  const { setTimeout: later } = globalThis
  const { defineProperty, getOwnPropertyDescriptor, entries } = Object
  const fail = () => { throw new Error('replaced') }
  let undo
  const redefine = (holder, name, descriptor) => {
    const before = getOwnPropertyDescriptor(holder, name)
    defineProperty(holder, name, descriptor)
    undo = () => { delete holder[name]; if (before) defineProperty(holder, name, before) }
  }
  const replace = (holder, name) =>
    redefine(holder, name, { __proto__: null, value: fail, writable: true, configurable: true })
  const replaceGetter = (holder, name) =>
    redefine(holder, name, { __proto__: null, get: fail, configurable: true })
  process.on('unhandledRejection', (error) => console.log('unhandled', String(error)))
  const plain = coat('tool', (value) => value)
  const eventual = coat('tool', async (value) => value)
  const steps = coat('tool', function* () { yield 3 })
  if (${isUsedBefore}) { plain(1); await eventual(2); [...steps()]; tie('x', [1]) }
  const poisons = { ${Object.entries(REPLACED)
    .map(([name, text]) => `${JSON.stringify(name)}: () => ${text}`)
    .join(', ')} }
  let count = 0
  for (const [name, poison] of entries(poisons)) {
    let got = 0, promise, error
    poison()
    try {
      got = plain(1)
      promise = eventual(2)
      got += steps().next().value
      tie('x', { a: [1] })
    } catch (thrown) {
      error = thrown
    }
    await null
    undo()
    try {
      got += await promise
    } catch (thrown) {
      error ??= thrown
    }
    if (got === 6 && error === undefined) count += 1
    else console.log(name, got, String(error))
  }
  await new Promise((resolve) => later(resolve, 100))
  console.log(count)`

test.each([true, false])(
  'what was replaced does not reach the program through a wrapper, used before: %s',
  async (isUsedBefore) => {
    const ended = await script(program(isUsedBefore))
    expect(ended).toMatchObject({ code: 0, stdout: `${Object.keys(REPLACED).length}\n` })
  },
)
