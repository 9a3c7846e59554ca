/**
 * A client of the Model Context Protocol, told as calls of tools, reads of memory and questions:
 * `coatMcp(new Client(…))`. The methods of this one client are covered, and each request carries the
 * span's `traceparent` to the server.
 */
import { cover, type Method } from '../adapters/cover.ts'
import { framework } from '../adapters/framework.ts'
import { type AdapterOptions, captureChoice } from '../adapters/options.ts'
import { quietly } from '../adapters/quietly.ts'
import type { Span } from '../span.ts'
import { withTraceparent } from './meta.ts'
import { answered, OPERATIONS, type Operation, type Origin, refused } from './operations.ts'
import { type Handler, observedHandler } from './server-requests.ts'

export type { AdapterOptions } from '../adapters/options.ts'

/**
 * Tells `callTool`, `readResource`, `getPrompt` and the calls that list, and what the server asks of the
 * client: elicitation and sampling, whether their handlers are there already or come later.
 *
 * @returns The same client.
 * @throws TypeError for what has no `callTool`.
 */
export function coatMcp<Client extends object>(
  client: Client,
  options: AdapterOptions = {},
): Client {
  if (typeof client !== 'object' || client === null || !('callTool' in client))
    throw new TypeError('coatMcp takes a client of @modelcontextprotocol/sdk')
  const origin: Origin = {
    client,
    framework: framework('mcp', ['@modelcontextprotocol/sdk', '@modelcontextprotocol/client']),
    capture: captureChoice(options),
  }
  for (const [name, operation] of Object.entries(OPERATIONS))
    cover(client, name, (original) => observedMethod(original, operation, origin))
  coverHandlers(client, origin)
  return client
}

function observedMethod(original: Method, operation: Operation, origin: Origin): Method {
  return function (this: unknown, ...args) {
    const [params, ...rest] = args
    const span = quietly(() => operation.begin(params, origin))
    if (span === undefined) return Reflect.apply(original, this, args)
    const signal = signalIn(rest)
    let result: unknown
    try {
      result = span.run(() =>
        Reflect.apply(original, this, [quietly(() => withTraceparent(params)) ?? params, ...rest]),
      )
    } catch (error) {
      refused(span, error, signal)
      throw error
    }
    return observed(result, operation, span, signal)
  }
}

async function observed(
  result: unknown,
  operation: Operation,
  span: Span,
  signal: unknown,
): Promise<unknown> {
  try {
    const value = await result
    answered(span, operation, value)
    return value
  } catch (error) {
    refused(span, error, signal)
    throw error
  }
}

/** The options are the last argument; where they are not, it has no signal. */
function signalIn(rest: readonly unknown[]): unknown {
  const last = rest.at(-1)
  return typeof last === 'object' && last !== null
    ? (last as { signal?: unknown }).signal
    : undefined
}

/** Handlers say by the request which method it is, so one cover serves for all of them. */
function coverHandlers(client: object, origin: Origin): void {
  cover(
    client,
    'setRequestHandler',
    (original) =>
      function (this: unknown, schema, handler, ...rest) {
        const given =
          typeof handler === 'function' ? observedHandler(handler as Handler, origin) : handler
        return Reflect.apply(original, this, [schema, given, ...rest])
      },
  )
  // Those that were set before are kept in a table by method.
  const { _requestHandlers: table } = client as { _requestHandlers?: unknown }
  if (!(table instanceof Map)) return
  for (const method of ['elicitation/create', 'sampling/createMessage']) {
    const handler: unknown = table.get(method)
    if (typeof handler === 'function')
      table.set(method, observedHandler(handler as Handler, origin))
  }
}
