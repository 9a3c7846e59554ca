/**
 * Requests that an agent signed (wire contract §5.5): over method, path, time, nonce and body. A signature that
 * is there is always verified; where none is demanded its absence is accepted, as the existing clients need it.
 */
import { createHash, type KeyObject, verify as verifySignature } from 'node:crypto'
import { VestryError } from '@vestry/contract/errors'
import type { Agent } from '../../identity/agent.ts'
import type { AgentStore } from '../../identity/agent-store.ts'
import { verify as verifyEd25519 } from '../../identity/ed25519.ts'
import { requiresSignature } from './agent-record.ts'
import type { NonceStore } from './nonce-store.ts'

export interface SignableRequest {
  readonly method: string
  /** The request target; a query is left out of the signature. */
  readonly path: string
  /** Exactly as received. */
  readonly body: Uint8Array
}

/** The three headers as received. */
export interface AgentProof {
  /** `X-Agent-Timestamp`: epoch ms, decimal. */
  readonly timestamp?: string | undefined
  /** `X-Agent-Nonce`: UUID. */
  readonly nonce?: string | undefined
  /** `X-Agent-Signature`: `v1=` and base64. */
  readonly signature?: string | undefined
}

export interface AgentProofDeps {
  readonly agents: Pick<AgentStore, 'verificationKeys'>
  readonly nonces: Pick<NonceStore, 'spend'>
  /** signed: every agent must; legacy: only those whose record says so. */
  readonly mode: 'legacy' | 'signed'
  /** Epoch ms. */
  readonly now: () => number
}

export const MAX_SKEW_MS = 300_000
const DOMAIN = '4RUNR-AGENT-SIG-1'
const TIMESTAMP = /^\d{1,15}$/
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const SIGNATURE = /^v1=((?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?)$/
/** Base64 of an RSA signature at the longest modulus that is admitted, and to spare. */
const MAX_SIGNATURE_CHARS = 2048

/** What is signed: six lines without a newline at the end. */
export function signedBytes(
  { method, path, body }: SignableRequest,
  { timestamp, nonce }: { timestamp: string; nonce: string },
): Uint8Array {
  const [target = ''] = path.split('?', 1)
  const digest = createHash('sha256').update(body).digest('hex')
  return Buffer.from([DOMAIN, method.toUpperCase(), target, timestamp, nonce, digest].join('\n'))
}

/**
 * @param agent The one that the body names.
 * @returns Whether the request proved to be the agent's, or came as every bearer of its id can send it.
 * @throws VestryError `AGENT_PROOF_REQUIRED`; `AGENT_PROOF_INVALID` for every fault of a proof that is there.
 */
export async function proveAgent(
  agent: Agent,
  request: SignableRequest,
  proof: AgentProof,
  deps: AgentProofDeps,
): Promise<'signed' | 'unsigned'> {
  if (proof.signature === undefined) {
    if (deps.mode === 'legacy' && !requiresSignature(agent)) return 'unsigned'
    throw new VestryError('AGENT_PROOF_REQUIRED', undefined, {
      hint: 'Send X-Agent-Timestamp, X-Agent-Nonce and X-Agent-Signature.',
    })
  }
  const { timestamp = '', nonce = '' } = proof
  const signature = decoded(proof.signature)
  if (signature === undefined || !TIMESTAMP.test(timestamp) || !UUID.test(nonce)) throw invalid()
  if (Math.abs(deps.now() - Number(timestamp)) > MAX_SKEW_MS) throw invalid()
  const message = signedBytes(request, { timestamp, nonce })
  if (!(await signedBy(agent.id, message, signature, deps.agents))) throw invalid()
  // Spent last: whoever lacks the key can use up no nonce and fill no table.
  if (!(await deps.nonces.spend(agent.id, nonce))) throw invalid()
  return 'signed'
}

async function signedBy(
  agentId: string,
  message: Uint8Array,
  signature: Uint8Array,
  agents: AgentProofDeps['agents'],
): Promise<boolean> {
  const ed25519 = await agents.verificationKeys(agentId, 'ed25519')
  if (ed25519.some(({ key }) => verifyEd25519(key, message, signature))) return true
  const rsa = await agents.verificationKeys(agentId, 'rsa')
  return rsa.some(({ key }) => verifyRsa(key, message, signature))
}

/** RSASSA-PKCS1-v1_5, the platform's padding for RSA keys unless told otherwise. */
function verifyRsa(key: KeyObject, message: Uint8Array, signature: Uint8Array): boolean {
  return verifySignature('sha256', message, key, signature)
}

function decoded(header: string): Uint8Array | undefined {
  if (header.length > MAX_SIGNATURE_CHARS) return undefined
  const encoded = SIGNATURE.exec(header)?.[1]
  return encoded === undefined ? undefined : Buffer.from(encoded, 'base64')
}

function invalid(): VestryError {
  return new VestryError('AGENT_PROOF_INVALID', undefined, {
    hint: 'Sign each attempt anew: current time, fresh nonce, exact body, the registered key.',
  })
}
