/** Asking for a token: the one request that is signed, when there is a key to sign with. */
import { randomUUID } from 'node:crypto'
import { mintedOf } from './answers.ts'
import { generateCorrelationId } from './correlation.ts'
import type { Exchange, Operation } from './exchange.ts'
import type { Scope } from './scope.ts'
import type { RequestSigner } from './signing.ts'
import type { TokenRequest } from './token.ts'
import type { Minted } from './token-line.ts'

export interface MintDeps {
  agentId: string
  exchange: Exchange
  /** Undefined: requests are sent unsigned. */
  signer: RequestSigner | undefined
  /** Told of each unsigned request. */
  onUnsigned: () => void
  now: () => number
}

/** The path as the gateway sees it: a proxy that adds a prefix to it takes the prefix away again. */
const TOKEN_PATH = '/api/generate-token'

export type Mint = ReturnType<typeof createMint>

export function createMint({ agentId, exchange, signer, onUnsigned, now }: MintDeps) {
  return async function mint(request: TokenRequest, scope: Scope): Promise<Minted> {
    if (signer === undefined) onUnsigned()
    const startedMs = now()
    const { tools, permissions, ttlMinutes } = request
    const expires_at = new Date(startedMs + ttlMinutes * 60_000).toISOString()
    const body = JSON.stringify({ agent_id: agentId, tools, permissions, expires_at })
    const operation: Operation = {
      name: 'generate-token',
      correlationId: generateCorrelationId(startedMs),
      repeatable: true,
      draft: { method: 'POST', path: TOKEN_PATH, body },
      ...(signer && { proof: () => signer(freshParts(body)) }),
    }
    const { text } = await exchange(operation, scope)
    return mintedOf(text, request, startedMs)
  }

  function freshParts(body: string) {
    return { method: 'POST', path: TOKEN_PATH, body, timestampMs: now(), nonce: randomUUID() }
  }
}
