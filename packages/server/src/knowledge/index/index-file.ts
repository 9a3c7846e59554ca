/**
 * The index of one node: a file that is derived from the store, may be lost at any time and is made again. Words are
 * looked up in memory; vectors by what is in memory of them first, then by themselves.
 */
import { vectorOf } from '../item.ts'
import { IndexDb } from './index-db.ts'
import type { Candidate, IndexedItem, IndexQuery } from './index-query.ts'
import { Names } from './names.ts'
import { Postings, packed, type WordedPassages } from './postings.ts'
import { Signatures } from './signatures.ts'
import { termCounts } from './terms.ts'

/** Of each kind of search. */
const CANDIDATES = 256
/** A passage of a store is far shorter; what is beyond is found by its vector. */
const MAX_TERMS = 20_000

/** What is in memory: made from the file, and made again when a write of the file failed. */
class Memory {
  readonly classes: Names
  readonly embedders: Names
  readonly terms: Names
  readonly postings = new Postings()
  /** By number of the embedder. */
  readonly signatures = new Map<number, Signatures>()

  constructor(db: IndexDb) {
    this.classes = new Names(db, 'class')
    this.embedders = new Names(db, 'embedder')
    this.terms = new Names(db, 'term')
    for (const row of db.sql('select id, class, terms from chunk order by id').iterate())
      this.postings.add(Number(row['id']), Number(row['class']), termsIn(row['terms']))
    const vectors = db.sql(
      'select chunk.id, class, embedder, vector from chunk join vector on vector.id = chunk.id',
    )
    for (const row of vectors.iterate()) {
      const vector = vectorOf(row['vector'] as Uint8Array) // a blob: the table is strict
      this.signaturesOf(Number(row['embedder']), vector).add(
        Number(row['id']),
        Number(row['class']),
        vector,
      )
    }
  }

  signaturesOf(embedder: number, { length }: Float32Array): Signatures {
    const known = this.signatures.get(embedder)
    if (known !== undefined) return known
    const made = new Signatures(length)
    this.signatures.set(embedder, made)
    return made
  }
}

export class IndexFile implements Disposable {
  readonly #db: IndexDb
  #memory: Memory
  #revision: number

  private constructor(path: string, lineage: string) {
    this.#db = new IndexDb(path, lineage)
    try {
      this.#memory = new Memory(this.#db)
      this.#revision = this.#db.revision
    } catch (error) {
      this.#db[Symbol.dispose]()
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
      IndexDb.remove(path)
      return new IndexFile(path, lineage)
    }
  }

  /** Of the store, up to which everything is here. */
  get revision(): number {
    return this.#revision
  }

  get size(): number {
    return Number(this.#db.sql('select count(*) n from chunk').get()?.['n'])
  }

  /** Takes over what changed, all or nothing. */
  apply(items: readonly IndexedItem[], revision: number): void {
    try {
      this.#db.write(() => {
        for (const item of items) this.#put(item)
        this.#db.revision = revision
      })
    } catch (error) {
      // What is in memory may be ahead of the file now.
      this.#memory = new Memory(this.#db)
      throw error
    }
    this.#revision = revision
  }

  search({ terms, vectors, classes }: IndexQuery): Candidate[] {
    const { classes: names, terms: words, postings } = this.#memory
    const permitted = new Map(classes.map((name) => [names.find(name) ?? -1, name]))
    permitted.delete(-1)
    const numbers = new Set(permitted.keys())
    const worded = postings.search(
      terms.map((term) => words.find(term)),
      numbers,
      CANDIDATES,
    )
    const cosines = new Map<number, number>()
    const ids = new Set(worded.ids)
    for (const { embedder, vector } of vectors)
      for (const { id, cosine } of this.#byVector(embedder, vector, numbers)) {
        ids.add(id)
        cosines.set(id, cosine)
      }
    return this.#candidates(ids, worded, cosines, vectors, permitted)
  }

  [Symbol.dispose](): void {
    this.#db[Symbol.dispose]()
  }

  #put({ id, classId, embedder, chunks }: IndexedItem): void {
    const { classes, embedders, postings } = this.#memory
    this.#takeOut(id)
    if (chunks === undefined) return
    const classNumber = classes.findOrAdd(classId)
    const set = embedder === '' ? undefined : embedders.findOrAdd(embedder)
    for (const { seq, text, heading, vector } of chunks) {
      const usable = set === undefined ? undefined : vector
      const terms = this.#termsOf(`${heading}\n${text}`)
      const { lastInsertRowid } = this.#db
        .sql('insert into chunk (item, seq, class, embedder, terms) values (?, ?, ?, ?, ?)')
        .run(id, seq, classNumber, usable === undefined ? null : (set ?? null), bytesOf(terms))
      const chunk = Number(lastInsertRowid)
      postings.add(chunk, classNumber, terms)
      if (usable === undefined || set === undefined) continue
      this.#db.sql('insert into vector (id, vector) values (?, ?)').run(chunk, bytesOf(usable))
      this.#memory.signaturesOf(set, usable).add(chunk, classNumber, usable)
    }
  }

  #takeOut(item: string): void {
    const { terms, postings, signatures } = this.#memory
    for (const row of this.#db.sql('select id, terms from chunk where item = ?').all(item)) {
      const chunk = Number(row['id'])
      this.#db.sql('delete from vector where id = ?').run(chunk)
      for (const set of signatures.values()) set.remove(chunk)
      // Words of what was deleted are not kept either.
      for (const term of postings.remove(chunk, termsIn(row['terms']))) terms.remove(term)
    }
    this.#db.sql('delete from chunk where item = ?').run(item)
  }

  #termsOf(text: string): Uint32Array {
    const counts = [...termCounts(text)].slice(0, MAX_TERMS)
    return Uint32Array.from(counts, ([term, count]) =>
      packed(this.#memory.terms.findOrAdd(term), count),
    )
  }

  #byVector(name: string, vector: Float32Array, classes: ReadonlySet<number>): Near[] {
    const signatures = this.#memory.signatures.get(this.#memory.embedders.find(name) ?? -1)
    if (signatures === undefined) return []
    const read = this.#db.sql('select vector from vector where id = ?')
    return signatures
      .nearest(vector, classes, CANDIDATES)
      .map((id) => ({ id, cosine: dot(vector, read.get(id)?.['vector']) ?? -1 }))
  }

  #candidates(
    ids: ReadonlySet<number>,
    worded: WordedPassages,
    cosines: ReadonlyMap<number, number>,
    vectors: IndexQuery['vectors'],
    classes: ReadonlyMap<number, string>,
  ): Candidate[] {
    const { embedders } = this.#memory
    const asked = new Map(vectors.map((query) => [embedders.find(query.embedder), query]))
    const read = this.#db.sql('select item, seq, class, embedder from chunk where id = ?')
    const readVector = this.#db.sql('select vector from vector where id = ?')
    return [...ids].flatMap((id) => {
      const row = read.get(id)
      const classId = classes.get(Number(row?.['class']))
      if (row === undefined || classId === undefined) return []
      const query = asked.get(Number(row['embedder']))
      const cosine =
        cosines.get(id) ??
        (query === undefined ? undefined : dot(query.vector, readVector.get(id)?.['vector']))
      const { bm25, share } = worded.of(id)
      return [
        {
          item: String(row['item']),
          seq: Number(row['seq']),
          classId,
          embedder: query?.embedder,
          cosine,
          bm25,
          words: share,
        },
      ]
    })
  }
}

interface Near {
  readonly id: number
  readonly cosine: number
}

function bytesOf({ buffer, byteOffset, byteLength }: Uint32Array | Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength)
}

function termsIn(blob: unknown): Uint32Array {
  const bytes = blob as Uint8Array // a blob: the table is strict
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : Uint8Array.from(bytes)
  return new Uint32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength >> 2)
}

/** Both are of length 1. Undefined where there is nothing to compare with. */
function dot(a: Float32Array, bytes: unknown): number | undefined {
  if (!(bytes instanceof Uint8Array) || bytes.byteLength !== a.byteLength) return undefined
  const b = vectorOf(bytes)
  let sum = 0
  for (let at = 0; at < a.length; at++) sum += (a[at] ?? 0) * (b[at] ?? 0)
  return sum
}
