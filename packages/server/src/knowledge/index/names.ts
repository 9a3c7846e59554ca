/** Names with numbers: in memory to look them up, in the file to keep them. */
import type { IndexDb } from './index-db.ts'

export class Names {
  readonly #db: IndexDb
  readonly #table: string
  readonly #numbers = new Map<string, number>()

  /** @param table With the columns `id` and `name`. */
  constructor(db: IndexDb, table: 'class' | 'embedder' | 'term') {
    this.#db = db
    this.#table = table
    for (const row of db.sql(`select id, name from ${table}`).iterate())
      this.#numbers.set(String(row['name']), Number(row['id']))
  }

  find(name: string): number | undefined {
    return this.#numbers.get(name)
  }

  findOrAdd(name: string): number {
    const known = this.#numbers.get(name)
    if (known !== undefined) return known
    const { lastInsertRowid } = this.#db
      .sql(`insert into ${this.#table} (name) values (?)`)
      .run(name)
    const number = Number(lastInsertRowid)
    this.#numbers.set(name, number)
    return number
  }

  remove(number: number): void {
    const row = this.#db.sql(`delete from ${this.#table} where id = ? returning name`).get(number)
    if (row !== undefined) this.#numbers.delete(String(row['name']))
  }
}
