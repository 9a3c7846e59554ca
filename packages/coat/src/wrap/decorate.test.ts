import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Coat, coat } from '../index.ts'
import { record } from '../recorder.test-kit.ts'

const run = promisify(execFile)
const ROOT = resolve(import.meta.dirname, '../../../..')
const COMPILER = join(ROOT, 'node_modules/typescript/bin/tsc')

/** Neither Node nor the test runner takes decorators, so the compiler gets this first. */
const REPOSITORY = `
import type { Coat } from '@vestry/coat'

export function define(coat: Coat) {
  class Repo {
    #rows = ['r']
    @coat('tool') save(row: string): number {
      this.#rows.push(row)
      return this.#rows.length
    }
    @coat('tool') async later<T>(value: T): Promise<T> {
      return value
    }
    @coat('step') #hidden(): number {
      return this.#rows.length
    }
    callHidden(): number {
      return this.#hidden()
    }
    @coat('tool') static open(): Repo {
      return new this()
    }
    @coat('memory.read') get size(): number {
      return this.#rows.length
    }
    @coat('step') handler = (text: string): string => text + this.#rows.length
    @coat('step') limit = 5
    @coat('step') accessor mode: string = 'fast'
    @coat('tool', { name: 'named' }) other(): void {}
    @coat('tool') [Symbol.iterator](): Iterator<string> {
      return this.#rows.values()
    }
  }
  class Audited extends Repo {
    override save(row: string): number {
      return super.save(row) * 10
    }
  }
  const checked: string = new Repo().handler('x')
  const counted: number = new Repo().save('x')
  const promised: Promise<Date> = new Repo().later(new Date())
  return { Repo, Audited, checked, counted, promised }
}

export function defineClass(coat: Coat) {
  // @ts-expect-error a class is not called
  @coat('tool')
  class Tool {}
  return Tool
}

export function defineSetter(coat: Coat) {
  class Tool {
    @(coat('tool') as any) set value(_value: number) {}
  }
  return Tool
}
`

const OLD_PROTOCOL = `
export function define(coat: any) {
  class Tool {
    @coat('tool') run() {}
  }
  return Tool
}

export function defineField(coat: any) {
  class Tool {
    @coat('tool') value = () => {}
  }
  return Tool
}
`

interface Repo extends Iterable<string> {
  save(row: string): number
  later<T>(value: T): Promise<T>
  callHidden(): number
  readonly size: number
  handler(text: string): string
  limit: number
  mode: string
  other(): void
}

interface RepoClass {
  new (): Repo
  open(): Repo
}

interface Compiled {
  define(coat: Coat): { Repo: RepoClass; Audited: RepoClass }
  defineClass(coat: Coat): unknown
  defineSetter(coat: Coat): unknown
  defineField(coat: Coat): unknown
}

let standard: Compiled
let old: Compiled
let folder: string

beforeAll(async () => {
  const cache = join(ROOT, 'node_modules/.cache')
  mkdirSync(cache, { recursive: true })
  folder = mkdtempSync(join(cache, 'decorators-'))
  standard = await compiled('repository', REPOSITORY, [])
  old = await compiled('old', OLD_PROTOCOL, [
    '--experimentalDecorators',
    '--noImplicitAny',
    'false',
  ])
}, 120_000)

afterAll(() => rmSync(folder, { recursive: true, force: true }))

async function compiled(name: string, text: string, flags: string[]): Promise<Compiled> {
  const file = join(folder, `${name}.mts`)
  writeFileSync(file, text)
  const common = ['--target', 'es2022', '--module', 'nodenext', '--strict', '--skipLibCheck']
  const source = ['--customConditions', 'source', '--rewriteRelativeImportExtensions']
  const places = ['--rootDir', ROOT, '--outDir', join(folder, 'out'), '--types', 'node']
  const libraries = ['--lib', 'es2024,esnext.disposable,esnext.decorators,dom']
  const args = [...common, ...source, ...places, ...libraries, ...flags, file]
  await run(process.execPath, [COMPILER, '--ignoreConfig', ...args], { cwd: ROOT }).catch(
    ({ stdout }: { stdout: string }) => {
      throw new Error(stdout)
    },
  )
  const out = join(folder, 'out', folder.slice(ROOT.length), `${name}.mjs`)
  return (await import(pathToFileURL(out).href)) as Compiled
}

const names = (recorder: ReturnType<typeof record>) =>
  recorder.spans().map(({ start }) => String(start.payload['fn']))

test('telemetry §16.2: methods are wrapped: of instances, private ones, static ones', async () => {
  const recorder = record()
  const { Repo } = standard.define(coat)
  recorder.events.length = 0
  const repo = Repo.open()
  expect(repo).toBeInstanceOf(Repo)
  expect(repo.save('b')).toBe(2)
  expect(await repo.later('x')).toBe('x')
  expect(repo.callHidden()).toBe(2)
  expect([...repo]).toEqual(['r', 'b'])
  repo.other()
  expect(names(recorder)).toEqual([
    'Repo.open',
    'Repo.save',
    'Repo.later',
    'Repo.#hidden',
    'Repo.[Symbol.iterator]',
    'named',
  ])
  expect(Repo.prototype.save.name).toBe('save')
  expect(Repo.prototype.save).toHaveLength(1)
})

test('telemetry §16.2: getters, accessors and fields that hold a function are wrapped', () => {
  const recorder = record()
  const { Repo } = standard.define(coat)
  const repo = new Repo()
  recorder.events.length = 0
  expect(repo.size).toBe(1)
  expect(repo.handler('n')).toBe('n1')
  expect(repo.limit).toBe(5)
  expect(repo.mode).toBe('fast')
  repo.mode = 'slow'
  expect(repo.mode).toBe('slow')
  expect(names(recorder)).toEqual(['Repo.size', 'Repo.handler', 'Repo.mode', 'Repo.mode'])
})

test('a method inherited goes by the class of its object, and super works', () => {
  const recorder = record()
  const { Audited } = standard.define(coat)
  recorder.events.length = 0
  expect(new Audited().save('b')).toBe(20)
  expect(names(recorder)).toEqual(['Audited.save'])
})

test('telemetry §16.2: classes and setters are refused when the class is defined', () => {
  expect(() => standard.defineClass(coat)).toThrow(/a class cannot be decorated/)
  expect(() => standard.defineSetter(coat)).toThrow(/a setter cannot be decorated/)
})

test('telemetry §16.2: what a compiler of the older protocol makes is refused when the class is defined', () => {
  for (const define of [old.define, old.defineField]) {
    expect(() => define(coat)).toThrow(TypeError)
    expect(() => define(coat)).toThrow(/remove "experimentalDecorators" from tsconfig.json/)
  }
})
