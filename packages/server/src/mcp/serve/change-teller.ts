/** Tells clients that listen when the tools they may call have become others, whatever the reason. */

import { fingerprint, type ServedTools } from './served-tools.ts'
import type { Sessions } from './sessions.ts'

export interface ChangeTellerDeps {
  readonly sessions: Pick<Sessions, 'listening'>
  readonly tools: Pick<ServedTools, 'of'>
  readonly warn: (line: string) => void
}

/** Changes come in bursts. */
const GATHER_MS = 100
/** Some changes tell nobody: a server goes away, a policy's hours begin. */
const LOOK_MS = 10_000

export class ChangeTeller implements Disposable {
  readonly #deps: ChangeTellerDeps
  #timer: NodeJS.Timeout | undefined
  #looking = false
  #again = false
  #open = true

  constructor(deps: ChangeTellerDeps) {
    this.#deps = deps
  }

  /** Something may have changed, or somebody began to listen. */
  trigger(): void {
    if (this.#looking) this.#again = true
    else this.#plan(GATHER_MS)
  }

  /** Nobody hears of anything any more. */
  [Symbol.dispose](): void {
    this.#open = false
    clearTimeout(this.#timer)
  }

  #plan(ms: number): void {
    clearTimeout(this.#timer)
    if (!this.#open || this.#deps.sessions.listening().length === 0) return
    this.#timer = setTimeout(() => void this.#look(), ms)
    this.#timer.unref()
  }

  async #look(): Promise<void> {
    this.#looking = true
    this.#again = false
    // The listeners of one key may call the same.
    const found = new Map<string, string>()
    try {
      for (const session of this.#deps.sessions.listening()) {
        const { stream } = session
        if (stream === undefined) continue
        if (!(await stream.isStill())) {
          stream.end()
          continue
        }
        const { client, caller } = stream
        const who = `${client.keyId} ${caller.peer.address}`
        const now = found.get(who) ?? fingerprint(await this.#deps.tools.of(client, caller))
        found.set(who, now)
        const told = session.listed
        session.listed = now
        if (told !== undefined && told !== now)
          stream.send({ jsonrpc: '2.0', method: 'notifications/tools/list_changed' })
      }
    } catch (error) {
      this.#deps.warn(`mcp: clients could not be told of changes: ${String(error)}`)
    } finally {
      this.#looking = false
      this.#plan(this.#again ? GATHER_MS : LOOK_MS)
    }
  }
}
