/** Who speaks to the MCP endpoint, and what the proof they showed covers. */
import type { Principal } from '../../identity/caller.ts'

export interface McpClient {
  readonly principal: Principal
  /** Names the proof: limits are counted by it, and a session belongs to it. */
  readonly keyId: string
  /** Of the token's own transaction; undefined: the session has one. */
  readonly txn: string | undefined
  /** A gateway token: what it covers. */
  readonly token: TokenProof | undefined
}

export interface TokenProof {
  /** Registry id. */
  readonly id: string
  readonly tools: readonly string[]
  readonly permissions: readonly string[]
  readonly intent: string | undefined
}
