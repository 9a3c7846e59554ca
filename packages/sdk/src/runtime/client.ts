/**
 * The client of the runtime API. One method per operation, named as in the Python SDK, each in the file of its area;
 * requests and answers have the wire's own keys.
 */
import { inspect } from 'node:util'
import { Calls } from './calls.ts'
import { createEventDoor } from './event-connection.ts'
import { createExchange } from './exchange.ts'
import { HttpMethods } from './http-methods.ts'
import { resolveOptions, type SymbiontClientOptions } from './options.ts'

export class SymbiontClient extends HttpMethods {
  readonly #baseUrl: string
  readonly #hasKey: boolean

  /** @throws SymbiontError `INVALID_OPTION` for an option, variable or file that cannot be used. */
  constructor(options: SymbiontClientOptions = {}) {
    const settings = resolveOptions(options)
    super(new Calls(createExchange(settings), createEventDoor(settings)))
    this.#baseUrl = settings.baseUrl
    this.#hasKey = settings.apiKey !== undefined
  }

  toJSON(): Record<string, unknown> {
    return {
      baseUrl: this.#baseUrl,
      ...(this.#hasKey && { apiKey: '[secret]' }),
    }
  }

  [inspect.custom](): string {
    return `SymbiontClient ${inspect(this.toJSON())}`
  }
}

/** The name that users of the Python SDK know. */
export { SymbiontClient as Client }
