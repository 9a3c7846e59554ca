/** One tool call: which token it goes with, and what happens when that token is refused. */
import { generateCorrelationId } from './correlation.ts'
import { GatewayError } from './errors.ts'
import type { Exchange, Operation } from './exchange.ts'
import { masked } from './masking.ts'
import { isRepeatable } from './repeatable.ts'
import { recommendsRotation } from './response-error.ts'
import { during, type Scope } from './scope.ts'
import { checkTokenAge } from './token.ts'
import type { TokenBook } from './token-book.ts'
import type { TokenLine } from './token-line.ts'
import type { ToolParams } from './tool-params.ts'

export interface ToolCall {
  readonly tool: string
  readonly action: string
  readonly params: ToolParams
  /** Empty: none. */
  readonly intent: string
  /** What the token is claimed to say; undefined: nothing. */
  readonly proof: unknown
  readonly async: boolean
}

export interface ToolCallDeps {
  exchange: Exchange
  tokens: TokenBook
  /** Replace tokens that came from elsewhere. */
  autoRotate: boolean
  /** Somebody listens to the log: parameters are masked for it only then. */
  logged: boolean
  now: () => number
}

/** The token of one call, and where its successor would come from. */
interface Held {
  readonly token: string
  readonly line: TokenLine | undefined
  readonly implicit: boolean
}

/** A token that was fetched for one call serves others until this much of its life is left. */
const IMPLICIT_MARGIN_MS = 5 * 60_000

export function createToolCalls({ exchange, tokens, autoRotate, logged, now }: ToolCallDeps) {
  /** @returns The text of a successful answer. */
  return async function perform(
    call: ToolCall,
    agentToken: string | undefined,
    scope: Scope,
  ): Promise<string> {
    const held = await hold(call, agentToken, scope)
    const correlationId = generateCorrelationId(now())
    try {
      return await send(call, held, correlationId, scope)
    } catch (error) {
      const { line, token } = held
      if (line === undefined || !(error instanceof GatewayError)) throw error
      const expired = isExpiry(error)
      // Else a token that was revoked or forgotten would be in use until it expires.
      if (expired || (held.implicit && error.code === 'AUTH_ERROR')) line.discard(token)
      if (!expired || !isRepeatable(call.tool, call.action, call.params)) throw error
      const successor = await during(scope, line.insteadOf(token))
      return await send(call, { ...held, token: successor }, correlationId, scope)
    }
  }

  async function hold(call: ToolCall, given: string | undefined, scope: Scope): Promise<Held> {
    if (!given) {
      const line = tokens.implicit(call.tool, call.intent)
      const token = line.usable(IMPLICIT_MARGIN_MS) ?? (await renewed(line, scope))
      return { token, line, implicit: true }
    }
    checkTokenAge(given, now())
    const line = lineOf(given, call.proof)
    const token = line === undefined ? given : (line.usable(0) ?? (await renewed(line, scope)))
    return { token, line, implicit: false }
  }

  function lineOf(given: string, proof: unknown): TokenLine | undefined {
    // A proof speaks of one token; a replacement would contradict it.
    if (proof !== undefined) return undefined
    return tokens.lineOf(given) ?? (autoRotate ? tokens.adopt(given) : undefined)
  }

  async function send(
    call: ToolCall,
    { token, line }: Held,
    correlationId: string,
    scope: Scope,
  ): Promise<string> {
    const operation: Operation = {
      name: 'proxy-request',
      correlationId,
      repeatable: isRepeatable(call.tool, call.action, call.params),
      draft: { method: 'POST', path: '/api/proxy-request', body: bodyOf(call, token) },
      ...(logged && { about: aboutOf(call) }),
    }
    const { headers, text } = await exchange(operation, scope)
    if (recommendsRotation(headers)) line?.rotate(token)
    return text
  }
}

function bodyOf(call: ToolCall, token: string): string {
  const { tool, action, params, intent, proof } = call
  return JSON.stringify({
    agent_token: token,
    tool,
    action,
    params,
    ...(intent !== '' && { intent }),
    ...(proof !== undefined && {
      proof_payload: typeof proof === 'string' ? proof : JSON.stringify(proof),
    }),
    ...(call.async && { async: true }),
  })
}

function aboutOf({ tool, action, params }: ToolCall): NonNullable<Operation['about']> {
  return { tool, action, params: masked(JSON.parse(JSON.stringify(params))) }
}

/** Waits for a line's token as long as the call lasts; the request itself serves other calls, too. */
async function renewed(line: TokenLine, scope: Scope): Promise<string> {
  return (await during(scope, line.renew())).token
}

/** The token is what was wrong, and a new one would put it right. The call was not executed. */
function isExpiry({ statusCode, errorCode, rotationRecommended }: GatewayError): boolean {
  if (statusCode === 401 && errorCode === 'TOKEN_EXPIRED') return true
  return (statusCode === 401 || statusCode === 403) && rotationRecommended
}
