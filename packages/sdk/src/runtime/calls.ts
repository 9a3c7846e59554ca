/** One call of the runtime API: sent, repeated where that does no harm, and its answer checked. */
import { APIError } from './errors.ts'
import type { EventDoor } from './event-connection.ts'
import type { Exchange, RuntimeCall } from './exchange.ts'
import type { Shape } from './shape.ts'

/** What every method takes last. */
export interface CallOptions {
  /** Ends the call with the signal's own reason. */
  signal?: AbortSignal
}

type Query = RuntimeCall['query']

const MAX_TOLD = 1_000

export class Calls {
  readonly events: EventDoor
  readonly #exchange: Exchange

  constructor(exchange: Exchange, events: EventDoor) {
    this.#exchange = exchange
    this.events = events
  }

  get<T>(path: string, shape: Shape<T>, options: CallOptions | undefined, query?: Query) {
    return this.send({ method: 'GET', path, ...(query !== undefined && { query }) }, shape, options)
  }

  /** Repeated under an idempotency key. */
  post<T>(
    path: string,
    body: unknown,
    shape: Shape<T>,
    options: CallOptions | undefined,
    query?: Query,
  ) {
    const call = { method: 'POST' as const, path, body, ...(query !== undefined && { query }) }
    return this.send(call, shape, options)
  }

  /** A POST whose second arrival changes nothing. */
  repeatable<T>(path: string, body: unknown, shape: Shape<T>, options: CallOptions | undefined) {
    return this.send({ method: 'POST', path, body, repeatable: true }, shape, options)
  }

  put<T>(path: string, body: unknown, shape: Shape<T>, options: CallOptions | undefined) {
    return this.send({ method: 'PUT', path, body }, shape, options)
  }

  delete<T>(path: string, shape: Shape<T>, options: CallOptions | undefined, body?: unknown) {
    return this.send({ method: 'DELETE', path, body }, shape, options)
  }

  /** @throws APIError UNEXPECTED_ANSWER, and what the server or the connection says. */
  async send<T>(call: RuntimeCall, shape: Shape<T>, options: CallOptions | undefined): Promise<T> {
    const answer = await this.#exchange({ ...call, signal: options?.signal })
    const parsed = shape.safeParse(answer)
    if (parsed.success) return parsed.data
    throw new APIError(
      `The answer has another shape than it should have: ${parsed.error.message.slice(0, MAX_TOLD)}`,
      { code: 'UNEXPECTED_ANSWER' },
    )
  }
}
