/** The ways out that need no peer: stderr, or a file until it fails. And the one warning about all of this. */
import type { Outlet } from './outlet.ts'
import { isFirstWarning } from './warning.ts'

export interface Openers {
  /** Instead of stderr, where there is no socket. */
  readonly openFile: (() => Outlet) | undefined
  readonly openStderr: () => Outlet
}

export class LocalWays {
  readonly #openers: Openers
  #stderr: Outlet | undefined
  #file: Outlet | undefined
  #isFileLost = false

  constructor(openers: Openers) {
    this.#openers = openers
  }

  /** Opened when it is first needed: many agents never do. */
  get stderr(): Outlet {
    this.#stderr ??= this.#openers.openStderr()
    return this.#stderr
  }

  /** The file, or stderr where there is none. */
  get outlet(): Outlet {
    const { openFile } = this.#openers
    if (openFile === undefined || this.#isFileLost) return this.stderr
    try {
      this.#file ??= openFile()
      return this.#file
    } catch (error) {
      this.fileFailed(error instanceof Error && 'code' in error ? String(error.code) : 'failed')
      return this.stderr
    }
  }

  get isFile(): boolean {
    return this.#openers.openFile !== undefined && !this.#isFileLost
  }

  get isStderrBroken(): boolean {
    return this.#stderr !== undefined && this.#stderr.reason !== ''
  }

  isStderr(outlet: Outlet | undefined): boolean {
    return outlet !== undefined && outlet === this.#stderr
  }

  /** Moves what stderr still holds of its own. */
  moveStderr(): void {
    this.#stderr?.progress()
  }

  fileFailed(reason: string): void {
    this.#isFileLost = true
    this.warn(`telemetry file unavailable (${reason}); writing events to stderr`)
  }

  warn(text: string): void {
    if (!isFirstWarning()) return
    this.stderr.write(Buffer.from(`[coat:warn] ${text}\n`))
    this.stderr.progress()
  }

  close(): void {
    this.#file?.close()
    this.#stderr?.close()
  }
}
