/** Registered tokens as the two listings of wire contract §6.10 write them: everything but the token. */
import type { RegisteredToken } from './token-store.ts'

/** In the list of one agent. */
export function agentTokenRecord(token: RegisteredToken) {
  return {
    id: token.id,
    token_id: token.tokenId,
    agentId: token.agentId,
    expiresAt: iso(token.expiresAt),
    revoked: token.revokedAt !== undefined,
    createdAt: iso(token.issuedAt),
    tools: token.tools,
    permissions: token.permissions,
  }
}

/** In the list of all. */
export function adminTokenRecord(token: RegisteredToken) {
  return {
    id: token.id,
    tokenId: token.tokenId,
    agentId: token.agentId,
    issuedAt: iso(token.issuedAt),
    expiresAt: iso(token.expiresAt),
    isRevoked: token.revokedAt !== undefined,
    revokedAt: token.revokedAt === undefined ? null : iso(token.revokedAt),
  }
}

function iso(ms: number): string {
  return new Date(ms).toISOString()
}
