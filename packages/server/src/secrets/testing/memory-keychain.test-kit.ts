/** A keychain in memory, behind the interface that the real ones are behind. Each call takes a turn of the loop. */
import { setImmediate as turn } from 'node:timers/promises'
import type { Keychain } from '../keychain/keychain.ts'

export class MemoryKeychain implements Keychain {
  readonly entries = new Map<string, string>()
  /** Calls that pass before the process "is killed"; nothing happens from then on. */
  callsLeft = Number.POSITIVE_INFINITY

  async get(account: string): Promise<string | undefined> {
    await this.#call()
    return this.entries.get(account)
  }

  async set(account: string, text: string): Promise<void> {
    await this.#call()
    this.entries.set(account, text)
  }

  async delete(account: string): Promise<boolean> {
    await this.#call()
    return this.entries.delete(account)
  }

  async #call(): Promise<void> {
    await turn()
    if (this.callsLeft === 0) throw new Error('killed')
    this.callsLeft -= 1
  }
}
