/** The way out into a file of the agent's choice: one envelope per line, appended. */
import { constants, openSync } from 'node:fs'
import { Descriptor } from './descriptor.ts'
import type { Outlet } from './outlet.ts'

/** @throws What the system says when it cannot be opened. A pipe without a reader is such a case. */
export function openFile(path: string): Outlet {
  const { O_WRONLY, O_APPEND, O_CREAT, O_NONBLOCK } = constants
  const fd = openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK, 0o600)
  return new OwnFile(fd)
}

class OwnFile extends Descriptor {
  readonly #own: number

  constructor(fd: number) {
    super(() => fd)
    this.#own = fd
  }

  override close(): void {
    if (this.reason === 'closed') return
    super.close()
    this.closeOwn(this.#own)
  }
}
