/** One run that this process holds: what it may still do, and the end that waits for the store to come back. */
import { asVestryError, VestryError } from '@vestry/contract/errors'
import type { Keyring } from '../seal/keyring.ts'
import type { Store } from '../store/store.ts'
import { type ExecutionMode, type Outcome, withoutResult } from './execution.ts'
import type { ExecutionRow } from './execution-row.ts'
import { type Alongside, end, markSent, type Run } from './execution-writes.ts'
import type { Failure, Held } from './held.ts'
import { sealContent } from './sealed-content.ts'

export interface HeldRunDeps {
  readonly store: Store
  readonly keys: () => Keyring
  readonly now: () => number
  /** Opened. */
  readonly input: (id: string) => Promise<Uint8Array | undefined>
  /** Told once: it has ended on disk, or is held no longer. */
  readonly onRelease: (run: HeldRun) => void
}

export class HeldRun implements Held {
  readonly id: string
  readonly kind: string
  readonly agentId: string
  readonly subject: string
  readonly mode: ExecutionMode
  readonly repeatable: boolean
  readonly attempt: number
  readonly startedAtMs: number
  readonly #deps: HeldRunDeps
  readonly #run: Run
  readonly #abort = new AbortController()
  #sending: Promise<void> | undefined
  #sent: boolean
  /** `ending`: by whom and how is settled, the store has yet to say that it knows. */
  #phase: 'open' | 'ending' | 'over' = 'open'
  #unsaved: (() => Promise<void>) | undefined

  constructor(deps: HeldRunDeps, row: ExecutionRow, owner: string) {
    this.#deps = deps
    this.id = row.id
    this.kind = row.kind
    this.agentId = row.agent_id
    this.subject = row.subject
    this.mode = row.mode
    this.repeatable = row.repeatable === 1
    this.attempt = row.attempts
    this.startedAtMs = row.started_at ?? row.created_at
    this.#run = { id: row.id, owner, attempt: row.attempts }
    this.#sent = row.state === 'sent'
  }

  get signal(): AbortSignal {
    return this.#abort.signal
  }

  get isSent(): boolean {
    return this.#sent
  }

  /** Neither ended nor about to be. */
  get isOpen(): boolean {
    return this.#phase === 'open'
  }

  input(): Promise<Uint8Array | undefined> {
    return this.#deps.input(this.id)
  }

  async sent(): Promise<void> {
    this.#assertOpen()
    if (this.#sent) return
    this.#sending ??= this.#markSent()
    await this.#sending
  }

  async finish(output: Uint8Array, alongside?: Alongside): Promise<void> {
    this.#assertOpen()
    const { keys } = this.#deps
    let sealed: Uint8Array
    try {
      sealed = sealContent(keys(), 'execution-output', this.id, output)
    } catch (cause) {
      const { code } = asVestryError(cause)
      const { mode, repeatable } = this
      await this.#end(withoutResult({ mode, sent: this.#sent, repeatable }, code), null)
      throw cause
    }
    await this.#end({ state: 'done' }, sealed, alongside)
  }

  async park(runAtMs: number): Promise<void> {
    this.#assertOpen()
    await this.#end({ state: 'reserved', runAtMs }, null)
  }

  async fail({ code, reached, output }: Failure): Promise<void> {
    this.#assertOpen()
    await this.#end({ state: 'failed', reached, errorCode: code }, this.#sealedOrNull(output))
  }

  /** Tells the body to stop; how it ends is still its own to say. */
  abort(reason: VestryError): void {
    this.#abort.abort(reason)
  }

  /** Somebody else may run it from now on. */
  lose(): void {
    if (this.#phase === 'over') return
    this.#abort.abort(lost())
    this.#release()
  }

  /** Tries again to store an end that the store did not take. */
  async saveAgain(): Promise<void> {
    await this.#unsaved?.()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.isOpen) return
    // What goes wrong here is mended by a later try, or by whoever took the run over.
    await this.fail({ code: 'INTERNAL_ERROR', reached: this.#sent }).catch(() => undefined)
  }

  async #markSent(): Promise<void> {
    try {
      const held = await markSent(this.#deps.store, this.#run)
      if (held) {
        this.#sent = true
        return
      }
    } catch (error) {
      this.#sending = undefined
      throw error
    }
    this.lose()
    throw lost()
  }

  async #end(outcome: Outcome, output: Uint8Array | null, alongside?: Alongside): Promise<void> {
    const { store, now } = this.#deps
    const endedAtMs = now()
    this.#phase = 'ending'
    const save = async () => {
      this.#unsaved = undefined // one try at a time
      try {
        const held = await end(store, this.#run, outcome, output, endedAtMs, alongside)
        this.#release()
        if (!held) throw lost()
      } catch (error) {
        if (this.#phase === 'ending') this.#unsaved = save
        throw error
      }
    }
    await save()
  }

  #release(): void {
    if (this.#phase === 'over') return
    this.#phase = 'over'
    this.#deps.onRelease(this)
  }

  #sealedOrNull(output: Uint8Array | undefined): Uint8Array | null {
    if (output === undefined) return null
    try {
      return sealContent(this.#deps.keys(), 'execution-output', this.id, output)
    } catch {
      return null
    }
  }

  #assertOpen(): void {
    if (!this.isOpen) throw lost()
  }
}

function lost(): VestryError {
  return new VestryError('CONFLICT', 'The execution has ended or is run by somebody else by now')
}
