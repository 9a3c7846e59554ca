/** What happened while the log could not be written, told by one record when it can be again. */
import type { OwnEntry } from './own-record.ts'

export class Outage {
  readonly sinceMs: number
  cause: unknown
  #lost = 0
  #refused = 0
  #told = { lost: 0, refused: 0 }

  constructor(sinceMs: number, cause: unknown) {
    this.sinceMs = sinceMs
    this.cause = cause
  }

  get lost(): number {
    return this.#lost
  }

  get refused(): number {
    return this.#refused
  }

  lose(count: number): void {
    this.#lost += count
  }

  refuse(): void {
    this.#refused += 1
  }

  /** The record that tells the counts as they stand. Once it is on disk, call {@link settle}. */
  entry(nowMs: number): OwnEntry {
    this.#told = { lost: this.#lost, refused: this.#refused }
    const code = this.cause instanceof Error && 'code' in this.cause ? this.cause.code : undefined
    return {
      action: 'coat_gap',
      detail: `log could not be written; ${this.#lost} records lost, ${this.#refused} actions refused`,
      success: false,
      data: {
        reason: 'audit_unavailable',
        error: typeof code === 'string' ? code : 'unknown',
        from: new Date(this.sinceMs).toISOString(),
        to: new Date(nowMs).toISOString(),
        lost: this.#lost,
        refused: this.#refused,
      },
    }
  }

  /** Takes off what the record told. @returns true when nothing is left to tell. */
  settle(): boolean {
    this.#lost -= this.#told.lost
    this.#refused -= this.#told.refused
    this.#told = { lost: 0, refused: 0 }
    return this.#lost === 0 && this.#refused === 0
  }
}
