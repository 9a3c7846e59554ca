/** `audit.head`: the newest signed head beside the log, the only local witness against a cut tail. */
import { readFileSync } from 'node:fs'
import { open, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { canonicalJson } from '@vestry/contract/canonical'
import { asSignedHead, type SignedHead } from './chain.ts'
import { HEAD_FILE } from './segment.ts'

/**
 * @returns `'garbled'` when the file exists but holds no head, undefined when there is none.
 */
export function readHeadFile(dir: string): SignedHead | 'garbled' | undefined {
  let text: string
  try {
    text = readFileSync(join(dir, HEAD_FILE), 'utf8')
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined
    throw cause
  }
  try {
    return asSignedHead(JSON.parse(text)) ?? 'garbled'
  } catch {
    return 'garbled'
  }
}

/** Writes heads one after the other; of heads that arrive meanwhile only the newest is written. */
export class HeadFile {
  readonly #dir: string
  #next: SignedHead | undefined
  #run: Promise<void> | undefined

  constructor(dir: string) {
    this.#dir = dir
  }

  /** Resolves when this head or a newer one was tried. A head that cannot be written is left out:
   * the log itself tells when the disk fails, and the next head says more than this one. */
  put(head: SignedHead): Promise<void> {
    this.#next = head
    this.#run ??= this.#writeAll().finally(() => {
      this.#run = undefined
    })
    return this.#run
  }

  async settled(): Promise<void> {
    await this.#run
  }

  async #writeAll(): Promise<void> {
    while (this.#next !== undefined) {
      const head = this.#next
      this.#next = undefined
      await this.#write(head).catch(() => {})
    }
  }

  async #write(head: SignedHead): Promise<void> {
    const path = join(this.#dir, HEAD_FILE)
    const handle = await open(`${path}.new`, 'w', 0o600)
    try {
      await handle.writeFile(`${canonicalJson(head)}\n`)
      await handle.datasync()
    } finally {
      await handle.close()
    }
    await rename(`${path}.new`, path)
  }
}
