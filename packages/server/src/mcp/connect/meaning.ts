/** What a failure of the protocol library means to a caller. */
import { VestryError } from '@vestry/contract/errors'

/** The library's own codes, and JSON-RPC's. */
const TIMED_OUT = -32_001
const TIMED_OUT_TEXT = 'MCP error -32001: Request timed out'
const CLOSED = -32_000
const METHOD_NOT_FOUND = -32_601

const MAX_CHARS = 500

/** Ours, with a meaning of their own; what else the way out throws is the server's failure. */
const AS_IT_IS = new Set([
  'MCP_PROTOCOL_ERROR',
  'MCP_TIMEOUT',
  'MCP_NOT_CONNECTED',
  'INVALID_PARAMS',
  'SHUTTING_DOWN',
])

/**
 * @param failure Why the connection ended, if it did.
 * @returns MCP_TIMEOUT, MCP_PROTOCOL_ERROR, or the error itself where it is one of ours.
 */
export function meaningOf(
  error: unknown,
  { server, timeoutMs }: { server: string; timeoutMs: number },
  failure: VestryError | undefined,
): VestryError {
  if (error instanceof VestryError) {
    if (AS_IT_IS.has(error.code)) return error
    const late = error.code === 'UPSTREAM_TIMEOUT'
    return new VestryError(
      late ? 'MCP_TIMEOUT' : 'MCP_PROTOCOL_ERROR',
      named(server, `cannot be reached: ${error.message}`),
      { cause: error, ...(error.hint !== undefined && { hint: error.hint }) },
    )
  }
  const code: unknown = Reflect.get(Object(error), 'code')
  const message = error instanceof Error ? error.message : String(error)
  // Servers use that code, too, for failures of their own.
  if (code === TIMED_OUT && message === TIMED_OUT_TEXT && failure === undefined) {
    return new VestryError(
      'MCP_TIMEOUT',
      `Server "${server}" did not answer within ${timeoutMs} ms`,
    )
  }
  if (failure !== undefined && (code === CLOSED || code === TIMED_OUT)) {
    return failure.code === 'MCP_NOT_CONNECTED'
      ? failure
      : new VestryError('MCP_PROTOCOL_ERROR', named(server, failure.message))
  }
  return new VestryError(
    'MCP_PROTOCOL_ERROR',
    `Server "${server}" answered: ${shown(message)}`,
    typeof code === 'number' ? { context: { rpc_code: code } } : {},
  )
}

/** The server does not know a method that its capabilities promise. */
export function isMissingMethod(error: unknown): boolean {
  return error instanceof VestryError && error.context['rpc_code'] === METHOD_NOT_FOUND
}

/** One line of bounded length; what steers terminals is left out. */
export function shown(text: string): string {
  const line = text.replace(/^MCP error -?\d+: /, '').replace(/[\p{Cc}\u2028\u2029]+/gu, ' ')
  return (line.length <= MAX_CHARS ? line : `${line.slice(0, MAX_CHARS)}…`).toWellFormed()
}

function named(server: string, message: string): string {
  return message.startsWith('Server "') ? message : `Server "${server}" ${message}`
}
