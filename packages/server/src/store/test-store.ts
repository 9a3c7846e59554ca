/** For tests: runs one suite on both engines, a SQLite file and a real PostgreSQL. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, inject } from 'vitest'
import { TABLE_NAMES, type Tables } from './schema.ts'
import { openStore, type Store, type StoreOptions } from './store.ts'

declare module 'vitest' {
  export interface ProvidedContext {
    /** Set by test/postgres.setup.ts: where databases are made, or why there are none. */
    postgres: { broker: string } | { skip: string }
  }
}

export interface StoreFixture {
  readonly engine: Store['engine']
  /** The database of this suite. */
  readonly url: string
  /** Opened once for the suite; every table is empty when a test starts. */
  readonly store: Store
  /** Another node on the same database, closed after the test. */
  open(options?: StoreOptions): Promise<Store>
}

/** A run whose configuration leaves the set-up out has no PostgreSQL either, and says so. */
export const postgresOffer: { broker: string } | { skip: string } = inject('postgres') ?? {
  skip: 'this run does not use test/postgres.setup.ts',
}

/**
 * Declares `name` twice, as `name (SQLite)` and `name (PostgreSQL)`. Where PostgreSQL cannot run, the second is
 * reported as skipped, with the reason in its title.
 */
export function eachStore(name: string, body: (at: StoreFixture) => void): void {
  describe(`${name} (SQLite)`, () => suite('sqlite', sqliteUrl, body))
  const offer = postgresOffer
  if ('skip' in offer) {
    describe.skip(`${name} (PostgreSQL: ${offer.skip})`, () => {
      suite('postgres', () => Promise.reject(new Error(offer.skip)), body)
    })
  } else {
    describe(`${name} (PostgreSQL)`, () =>
      suite('postgres', () => createDatabase(offer.broker), body))
  }
}

/** The URL of a new, empty PostgreSQL database; undefined where none can run. */
export async function postgresUrl(): Promise<string | undefined> {
  return 'skip' in postgresOffer ? undefined : createDatabase(postgresOffer.broker)
}

const directories: string[] = []
// Of the importing test file: a hook that is declared inside a test or another hook would never run.
afterAll(() => {
  for (const directory of directories) rmSync(directory, { recursive: true, force: true })
})

/** The URL of a SQLite file that does not exist yet, in a directory that goes when the tests of the file end. */
export async function sqliteUrl(): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), 'vestry-store-'))
  directories.push(directory)
  return `sqlite:${join(directory, 'vestry.db')}`
}

function suite(
  engine: Store['engine'],
  newUrl: () => Promise<string>,
  body: (at: StoreFixture) => void,
): void {
  let url: string | undefined
  let store: Store | undefined
  const others: Store[] = []

  beforeAll(async () => {
    url = await newUrl()
    store = await openStore(url)
  })
  beforeEach(() => empty(opened(store)))
  afterEach(async () => {
    for (const other of others.splice(0)) await other.close()
  })
  afterAll(async () => store?.close())

  body({
    engine,
    get url() {
      return opened(url)
    },
    get store() {
      return opened(store)
    },
    async open(options) {
      const other = await openStore(opened(url), options)
      others.push(other)
      return other
    },
  })
}

function opened<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('The store is there inside tests and hooks only')
  return value
}

async function empty(store: Store): Promise<void> {
  // Children before parents, and last what the deletions themselves noted; the generation only ever rises.
  const first = ['credential_version', 'budget_hold', 'api_key']
  const others = TABLE_NAMES.filter((name) => !first.includes(name) && name !== 'row_change')
  const names = [...first, ...others, 'row_change']
  await store.write(async (trx) => {
    for (const name of names) {
      const table = name as keyof Tables // from the list of them
      if (table === 'meta') await trx.deleteFrom('meta').where('key', '<>', 'generation').execute()
      else await trx.deleteFrom(table).execute()
    }
  })
}

async function createDatabase(broker: string): Promise<string> {
  const response = await fetch(broker, { method: 'POST' })
  const text = await response.text()
  if (!response.ok) throw new Error(text)
  return text
}
