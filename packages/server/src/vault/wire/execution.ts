/** One request from its arrival to its answer. */
import { newRequestId } from '@vestry/contract/ids'
import type { Running } from './protocol.ts'
import type { Request, RequestId } from './request.ts'
import type { Turn } from './turns.ts'

export class Execution implements Running, Turn, Disposable {
  readonly request: Request
  readonly requestId = newRequestId()
  /** Bytes of its frame. */
  readonly size: number
  readonly barrier: boolean
  /** On the connection's clock; set when it starts. */
  deadlineMs = Number.POSITIVE_INFINITY
  answered = false
  #controller: AbortController | undefined
  #aborted: { reason: unknown } | undefined

  constructor(request: Request, size: number, barrier: boolean) {
    this.request = request
    this.size = size
    this.barrier = barrier
  }

  get id(): RequestId {
    return this.request.id
  }

  get started(): boolean {
    return this.deadlineMs !== Number.POSITIVE_INFINITY
  }

  /** Made on first use, even after it fired: most requests never need one. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.#aborted !== undefined) this.#controller.abort(this.#aborted.reason)
    }
    return this.#controller.signal
  }

  abort(reason: unknown): void {
    this.#aborted ??= { reason }
    this.#controller?.abort(reason)
  }

  /** Wipes the secrets that came with the request. */
  [Symbol.dispose](): void {
    for (const secret of this.request.secrets.values()) secret[Symbol.dispose]()
  }
}
