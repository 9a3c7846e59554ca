/**
 * The index of one node: a file that is derived from the store, may be lost at any time and is made again. Keywords
 * are looked up with FTS5; vectors by their signs in memory first, then by themselves.
 */
import { rmSync } from 'node:fs'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { vectorOf } from '../item.ts'
import type { Candidate, IndexedItem, IndexQuery } from './index-query.ts'
import { Signatures } from './signatures.ts'

const FORMAT = '2'
/** Nearest by signs, of which the vectors themselves are compared. */
const LOOKED_AT = 2_048
/** Of each kind of search. */
const CANDIDATES = 256
/** Rows that the words of one query may match together; the commonest words do not search. */
const MAX_MATCHES = 4_000
/** A word that is in more rows than this says nothing of any of them. */
const COMMON = 20_000
/** Words whose counts are remembered between changes. */
const MAX_COUNTED = 10_000

const SCHEMA = `
  create table meta (key text primary key, value text not null) strict, without rowid;
  create table class (id integer primary key, name text unique not null) strict;
  create table embedder (id integer primary key, name text unique not null) strict;
  create table chunk (
    id integer primary key, item text not null, seq integer not null, class integer not null,
    embedder integer
  ) strict;
  create table vector (id integer primary key, vector blob not null) strict;
  create index chunk_item on chunk (item);
  create virtual table words using fts5(
    text, content='', contentless_delete=1, tokenize="porter unicode61 remove_diacritics 2"
  );`

interface VectorSet {
  readonly id: number
  signatures: Signatures | undefined
}

export class IndexFile implements Disposable {
  readonly #db: DatabaseSync
  readonly #classes = new Map<string, number>()
  readonly #classNames = new Map<number, string>()
  readonly #embedders = new Map<string, VectorSet>()
  readonly #statements = new Map<string, StatementSync>()
  /** Of words, as of the last change. */
  readonly #counts = new Map<string, number>()
  #revision = 0

  private constructor(path: string, lineage: string) {
    this.#db = new DatabaseSync(path)
    try {
      this.#open(lineage)
    } catch (error) {
      this.#db.close()
      throw error
    }
  }

  /**
   * @param lineage Of the store that it follows; a file of another one is thrown away, and so is one that is broken.
   */
  static open(path: string, lineage: string): IndexFile {
    try {
      return new IndexFile(path, lineage)
    } catch {
      for (const end of ['', '-wal', '-shm', '-journal']) rmSync(`${path}${end}`, { force: true })
      return new IndexFile(path, lineage)
    }
  }

  /** Of the store, up to which everything is here. */
  get revision(): number {
    return this.#revision
  }

  get size(): number {
    return Number(this.#sql('select count(*) n from chunk').get()?.['n'])
  }

  /** Takes over what changed, all or nothing. */
  apply(items: readonly IndexedItem[], revision: number): void {
    this.#counts.clear()
    this.#db.exec('begin immediate')
    try {
      for (const item of items) this.#put(item)
      this.#setMeta('revision', String(revision))
      this.#db.exec('commit')
    } catch (error) {
      this.#db.exec('rollback')
      // What is in memory may be ahead of the file now.
      for (const set of this.#embedders.values()) set.signatures = undefined
      this.#loadNames()
      this.#loadVectors()
      throw error
    }
    this.#revision = revision
  }

  search({ terms, vectors, classes }: IndexQuery): Candidate[] {
    const numbers = new Set(
      classes.flatMap((name) => {
        const known = this.#classes.get(name)
        return known === undefined ? [] : [known]
      }),
    )
    if (numbers.size === 0) return []
    const words = this.#words(terms)
    const ids = new Set(this.#byWords(words, numbers))
    for (const { embedder, vector } of vectors)
      for (const id of this.#byVector(embedder, vector, numbers)) ids.add(id)
    return this.#candidates(ids, words, vectors)
  }

  [Symbol.dispose](): void {
    this.#db.close()
  }

  #open(lineage: string): void {
    // It can be made again, so it need not wait for the disk; what the process wrote outlives the process.
    this.#db.exec('pragma journal_mode = wal; pragma synchronous = off; pragma cache_size = -65536')
    if (this.#sqlOnce(`select count(*) n from sqlite_schema where name = 'meta'`) === 0) {
      this.#db.exec(SCHEMA)
      this.#setMeta('format', FORMAT)
      this.#setMeta('lineage', lineage)
      this.#setMeta('revision', '0')
    }
    if (this.#meta('format') !== FORMAT || this.#meta('lineage') !== lineage)
      throw new Error('the index belongs to something else')
    const found = this.#db.prepare('pragma quick_check(1)').get()
    if (found?.['quick_check'] !== 'ok') throw new Error('the index is broken')
    this.#revision = Number(this.#meta('revision'))
    this.#loadNames()
    this.#loadVectors()
  }

  #loadNames(): void {
    this.#classes.clear()
    this.#classNames.clear()
    for (const row of this.#sql('select id, name from class').all())
      this.#named(String(row['name']), Number(row['id']))
    this.#embedders.clear()
    for (const row of this.#sql('select id, name from embedder').all())
      this.#embedders.set(String(row['name']), { id: Number(row['id']), signatures: undefined })
  }

  #loadVectors(): void {
    const sets = new Map([...this.#embedders.values()].map((set) => [set.id, set]))
    const rows = this.#sql(
      'select chunk.id, class, embedder, vector from chunk join vector on vector.id = chunk.id',
    ).iterate()
    for (const row of rows) {
      const set = sets.get(Number(row['embedder']))
      const vector = vectorOf(row['vector'] as Uint8Array)
      if (set !== undefined)
        signaturesOf(set, vector).add(Number(row['id']), Number(row['class']), vector)
    }
  }

  #put({ id, classId, embedder, chunks }: IndexedItem): void {
    for (const row of this.#sql('select id from chunk where item = ?').all(id)) {
      const chunk = Number(row['id'])
      this.#sql('delete from words where rowid = ?').run(chunk)
      this.#sql('delete from vector where id = ?').run(chunk)
      for (const { signatures } of this.#embedders.values()) signatures?.remove(chunk)
    }
    this.#sql('delete from chunk where item = ?').run(id)
    if (chunks === undefined) return
    const classNumber = this.#classNumber(classId)
    const set = embedder === '' ? undefined : this.#vectorSet(embedder)
    const insert = this.#sql('insert into chunk (item, seq, class, embedder) values (?, ?, ?, ?)')
    for (const { seq, text, heading, vector } of chunks) {
      const usable = set !== undefined && vector !== undefined ? vector : undefined
      const bytes = usable && new Uint8Array(usable.buffer, usable.byteOffset, usable.byteLength)
      const { lastInsertRowid } = insert.run(
        id,
        seq,
        classNumber,
        usable === undefined ? null : (set?.id ?? null),
      )
      this.#sql('insert into words (rowid, text) values (?, ?)').run(
        lastInsertRowid,
        `${heading}\n${text}`,
      )
      if (bytes !== undefined)
        this.#sql('insert into vector (id, vector) values (?, ?)').run(lastInsertRowid, bytes)
      if (usable !== undefined && set !== undefined)
        signaturesOf(set, usable).add(Number(lastInsertRowid), classNumber, usable)
    }
  }

  /** The words that search, rarest first, and what each is worth; `found: false` for one that is nowhere. */
  #words(terms: readonly string[]): Word[] {
    const total = this.size
    const counted = terms.map((term) => {
      const match = `"${term.replaceAll('"', '""')}"`
      const count = this.#countOf(match)
      return { match, count, weight: Math.log(1 + (total + 1) / (count + 0.5)) }
    })
    return counted.sort((a, b) => a.count - b.count)
  }

  #countOf(match: string): number {
    const known = this.#counts.get(match)
    if (known !== undefined) return known
    const found = this.#sql('select count(*) n from words where words match ?').get(match)
    const count = Number(found?.['n'])
    if (this.#counts.size >= MAX_COUNTED) this.#counts.clear()
    this.#counts.set(match, count)
    return count
  }

  #byWords(words: readonly Word[], classes: ReadonlySet<number>): number[] {
    const used: string[] = []
    let matches = 0
    for (const { match, count } of words) {
      if (count === 0) continue
      matches += count
      if (used.length > 0 && matches > MAX_MATCHES) break
      used.push(match)
    }
    if (used.length === 0) return []
    return this.#sql(
      `select words.rowid id from words join chunk on chunk.id = words.rowid
       where words match ? and chunk.class in (select value from json_each(?))
       order by bm25(words) limit ${CANDIDATES}`,
    )
      .all(used.join(' OR '), JSON.stringify([...classes]))
      .map((row) => Number(row['id']))
  }

  #byVector(embedder: string, vector: Float32Array, classes: ReadonlySet<number>): number[] {
    const signatures = this.#embedders.get(embedder)?.signatures
    if (signatures === undefined) return []
    const read = this.#sql('select vector from vector where id = ?')
    return signatures
      .nearest(vector, classes, LOOKED_AT)
      .map((id) => ({ id, cosine: dot(vector, read.get(id)?.['vector']) ?? -1 }))
      .sort((a, b) => b.cosine - a.cosine || a.id - b.id)
      .slice(0, CANDIDATES)
      .map(({ id }) => id)
  }

  #candidates(
    ids: ReadonlySet<number>,
    words: readonly Word[],
    vectors: IndexQuery['vectors'],
  ): Candidate[] {
    const coverage = this.#coverage(ids, words)
    const byNumber = new Map(
      vectors.flatMap(({ embedder, vector }) => {
        const set = this.#embedders.get(embedder)
        return set === undefined ? [] : [[set.id, { embedder, vector }] as const]
      }),
    )
    const read = this.#sql(
      `select item, seq, class, embedder, vector from chunk
       left join vector on vector.id = chunk.id where chunk.id = ?`,
    )
    return [...ids].flatMap((id) => {
      const row = read.get(id)
      if (row === undefined) return []
      const asked = byNumber.get(Number(row['embedder']))
      return [
        {
          item: String(row['item']),
          seq: Number(row['seq']),
          classId: this.#classNames.get(Number(row['class'])) ?? '',
          embedder: asked?.embedder,
          cosine: asked === undefined ? undefined : dot(asked.vector, row['vector']),
          words: coverage.get(id) ?? 0,
        },
      ]
    })
  }

  /** Which part of the query's words each one has, by weight. */
  #coverage(ids: ReadonlySet<number>, words: readonly Word[]): Map<number, number> {
    const found = new Map<number, number>()
    const told = words.filter(({ count }) => count <= COMMON)
    const all = told.reduce((sum, { weight }) => sum + weight, 0)
    if (all === 0 || ids.size === 0) return found
    for (const { match, weight, count } of told) {
      if (count === 0) continue
      // All rows of a word, and then those that are asked for: FTS5 takes eight times as long for the two at once.
      for (const row of this.#sql('select rowid id from words where words match ?').all(match)) {
        const id = Number(row['id'])
        if (ids.has(id)) found.set(id, (found.get(id) ?? 0) + weight / all)
      }
    }
    return found
  }

  #classNumber(name: string): number {
    const known = this.#classes.get(name)
    if (known !== undefined) return known
    const { lastInsertRowid } = this.#sql('insert into class (name) values (?)').run(name)
    return this.#named(name, Number(lastInsertRowid))
  }

  #named(name: string, id: number): number {
    this.#classes.set(name, id)
    this.#classNames.set(id, name)
    return id
  }

  #vectorSet(name: string): VectorSet {
    const known = this.#embedders.get(name)
    if (known !== undefined) return known
    const { lastInsertRowid } = this.#sql('insert into embedder (name) values (?)').run(name)
    const set: VectorSet = { id: Number(lastInsertRowid), signatures: undefined }
    this.#embedders.set(name, set)
    return set
  }

  #sql(text: string): StatementSync {
    const known = this.#statements.get(text)
    if (known !== undefined) return known
    const made = this.#db.prepare(text)
    this.#statements.set(text, made)
    return made
  }

  #sqlOnce(text: string): number {
    return Number(this.#db.prepare(text).get()?.['n'])
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

interface Word {
  readonly match: string
  /** Chunks that have it. */
  readonly count: number
  readonly weight: number
}

function signaturesOf(set: VectorSet, { length }: Float32Array): Signatures {
  set.signatures ??= new Signatures(length)
  return set.signatures
}

/** Both are of length 1. Undefined where there is nothing to compare with. */
function dot(a: Float32Array, bytes: unknown): number | undefined {
  if (!(bytes instanceof Uint8Array) || bytes.byteLength !== a.byteLength) return undefined
  const b = vectorOf(bytes)
  let sum = 0
  for (let at = 0; at < a.length; at++) sum += (a[at] ?? 0) * (b[at] ?? 0)
  return sum
}
