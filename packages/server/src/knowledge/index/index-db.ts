/** The database of the index: its tables, whose it is, and statements that are made once. */
import { rmSync } from 'node:fs'
import { DatabaseSync, type StatementSync } from 'node:sqlite'

const FORMAT = '3'

const SCHEMA = `
  create table meta (key text primary key, value text not null) strict;
  create table class (id integer primary key, name text unique not null) strict;
  create table embedder (id integer primary key, name text unique not null) strict;
  create table term (id integer primary key, name text unique not null) strict;
  create table chunk (
    id integer primary key, item text not null, seq integer not null, class integer not null,
    embedder integer, terms blob not null
  ) strict;
  create table vector (id integer primary key, vector blob not null) strict;
  create index chunk_item on chunk (item);`

export class IndexDb implements Disposable {
  readonly #db: DatabaseSync
  readonly #statements = new Map<string, StatementSync>()

  /** @throws Error where it is broken, or follows another store than that of `lineage` */
  constructor(path: string, lineage: string) {
    this.#db = new DatabaseSync(path)
    try {
      this.#open(lineage)
    } catch (error) {
      this.#db.close()
      throw error
    }
  }

  static remove(path: string): void {
    for (const end of ['', '-wal', '-shm', '-journal']) rmSync(`${path}${end}`, { force: true })
  }

  /** Of the store, up to which everything is here. */
  get revision(): number {
    return Number(this.#meta('revision'))
  }

  set revision(revision: number) {
    this.#setMeta('revision', String(revision))
  }

  sql(text: string): StatementSync {
    const known = this.#statements.get(text)
    if (known !== undefined) return known
    const made = this.#db.prepare(text)
    this.#statements.set(text, made)
    return made
  }

  /** All or nothing. */
  write(work: () => void): void {
    this.#db.exec('begin immediate')
    try {
      work()
      this.#db.exec('commit')
    } catch (error) {
      this.#db.exec('rollback')
      throw error
    }
  }

  [Symbol.dispose](): void {
    this.#db.close()
  }

  #open(lineage: string): void {
    // It can be made again, so it need not wait for the disk; what the process wrote outlives the process.
    // A vector of 768 numbers fits into one page. What was deleted is overwritten.
    this.#db.exec(
      `pragma page_size = 8192; pragma journal_mode = wal; pragma synchronous = off;
       pragma cache_size = -65536; pragma secure_delete = on`,
    )
    const made = this.#db.prepare(`select count(*) n from sqlite_schema where name = 'meta'`).get()
    if (made?.['n'] === 0) {
      this.#db.exec(SCHEMA)
      this.#setMeta('format', FORMAT)
      this.#setMeta('lineage', lineage)
      this.revision = 0
    }
    if (this.#meta('format') !== FORMAT || this.#meta('lineage') !== lineage)
      throw new Error('the index belongs to something else')
    const found = this.#db.prepare('pragma quick_check(1)').get()
    if (found?.['quick_check'] !== 'ok') throw new Error('the index is broken')
  }

  #meta(key: string): string {
    return String(this.#db.prepare('select value from meta where key = ?').get(key)?.['value'])
  }

  #setMeta(key: string, value: string): void {
    this.#db
      .prepare(
        'insert into meta values (?, ?) on conflict (key) do update set value = excluded.value',
      )
      .run(key, value)
  }
}
