/** A way out of the process that never makes its caller wait. */

/** `idle`: all was taken. `busy`: try again later. `broken`: no more will ever be taken. */
export type Progress = 'idle' | 'busy' | 'broken'

export interface Outlet {
  /** Bytes taken by the other side so far. */
  readonly taken: number
  /** Bytes that were handed over and not taken yet. */
  readonly left: number
  /** Hands over bytes; {@link progress} moves them. */
  write(chunk: Buffer): void
  progress(): Progress
  /** Why it is broken: an error code, or words. */
  readonly reason: string
  close(): void
}
