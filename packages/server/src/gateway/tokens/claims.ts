/** What a token says, and the one text that says it. */
import * as z from 'zod'
import { parseInstant } from './date-time.ts'

const Instant = z.string().refine((text) => parseInstant(text) !== undefined)

/** Exactly these keys: whatever else is in a payload was not written by us. */
export const TokenClaims = z.strictObject({
  agent_id: z.string().min(1),
  agent_name: z.string(),
  tools: z.array(z.string()),
  permissions: z.array(z.string()),
  expires_at: Instant,
  nonce: z.string().min(1),
  issued_at: Instant,
})
export type TokenClaims = Readonly<z.output<typeof TokenClaims>>

/** The payload: compact JSON with its keys in the order of wire contract §6.3, because it is hashed. */
export function claimsText(claims: TokenClaims): string {
  const { agent_id, agent_name, tools, permissions, expires_at, nonce, issued_at } = claims
  const ordered = { agent_id, agent_name, tools, permissions, expires_at, nonce, issued_at }
  return JSON.stringify(ordered)
}
