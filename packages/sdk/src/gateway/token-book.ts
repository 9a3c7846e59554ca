/** Which token serves which call: lines by (tool, intent), and lines by the token a caller passes. */
import { claimsOf, type TokenRequest } from './token.ts'
import { type LineDeps, type Minted, TokenLine } from './token-line.ts'

/** What is asked for when a caller passes no token. */
const IMPLICIT_PERMISSIONS = ['read', 'write'] as const
const IMPLICIT_TTL_MINUTES = 10

/** Of each kind; the oldest are forgotten first, and then simply fetched again or not replaced. */
const MOST_LINES = 1_000

export class TokenBook {
  readonly #agentId: string
  readonly #deps: LineDeps
  readonly #byUse = new Map<string, TokenLine>()
  readonly #byToken = new Map<string, TokenLine>()

  constructor(agentId: string, deps: LineDeps) {
    this.#agentId = agentId
    this.#deps = {
      ...deps,
      onRotated: (rotated) => {
        const { line, previous, minted } = rotated
        if (this.#byToken.has(previous)) remember(this.#byToken, minted.token, line)
        deps.onRotated(rotated)
      },
    }
  }

  /** For calls without a token. */
  implicit(tool: string, intent: string): TokenLine {
    const use = JSON.stringify([tool, intent])
    const known = this.#byUse.get(use)
    if (known !== undefined) return known
    const request = {
      tools: [tool],
      permissions: IMPLICIT_PERMISSIONS,
      ttlMinutes: IMPLICIT_TTL_MINUTES,
    }
    return remember(this.#byUse, use, new TokenLine(request, this.#deps))
  }

  /** Begins the line of a token this client obtained. */
  begin(request: TokenRequest, minted: Minted): void {
    remember(this.#byToken, minted.token, new TokenLine(request, this.#deps, minted))
  }

  /** The line of a token this client obtained, first or later. */
  lineOf(token: string): TokenLine | undefined {
    return this.#byToken.get(token)
  }

  /**
   * Begins a line for a token that came from elsewhere: its replacement asks for what it says of itself.
   * A token that says nothing, or belongs to another agent, gets none.
   */
  adopt(token: string): TokenLine | undefined {
    const claims = claimsOf(token)
    if (claims === undefined || claims.agentId !== this.#agentId) return undefined
    const { tools, permissions, ttlMinutes, expiresAtMs } = claims
    const request = { tools, permissions, ttlMinutes }
    const line = new TokenLine(request, this.#deps, { token, expiresAtMs })
    return remember(this.#byToken, token, line)
  }

  clear(): void {
    this.#byUse.clear()
    this.#byToken.clear()
  }
}

function remember(lines: Map<string, TokenLine>, key: string, line: TokenLine): TokenLine {
  lines.set(key, line)
  const [oldest] = lines.keys()
  if (lines.size > MOST_LINES && oldest !== undefined) lines.delete(oldest)
  return line
}
