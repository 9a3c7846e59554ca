/**
 * Proves an identity on one connection: the daemon's challenge, the agent's signature, and with a
 * pin the daemon's own proof first. A reply that does not confirm in so many words is a refusal.
 */
import { randomBytes } from 'node:crypto'
import { AuthError, type VaultError } from './errors.ts'
import type { Message } from './frame.ts'
import { agentMessage, serverIdOf, serverMessage } from './handshake.ts'
import { bytesOfHexText } from './hex.ts'
import { isKnownServer, trustServer } from './known-server.ts'
import { SIGNATURE_BYTES, type Signer, verifies } from './signer.ts'
import { currentTxnToken, type TxnToken } from './txn-token.ts'
import { within } from './wait.ts'
import { vaultError } from './wire-error.ts'

export interface Authentication {
  name: string
  signer: Signer
  /** Milliseconds for each of the two calls. Default 5 000. */
  timeoutMs?: number | undefined
  signal?: AbortSignal | undefined
  /** File of known servers: the daemon must prove the identity remembered there. Default: no check. */
  knownServerPath?: string | undefined
  /** Of the run that the session joins. Default: none. */
  txnToken?: TxnToken | undefined
}

/** What the daemon says of a confirmed session; members a daemon leaves out are undefined. */
export interface SessionInfo {
  session_id: string
  agent?: string
  expires_at?: string
  expires_in?: number
  idle_timeout?: number
  server_time?: string
  /** The transaction that what this session does is recorded under. */
  txn?: string
}

interface Caller {
  call(
    method: string,
    params: Message,
    options: { timeoutMs?: number | undefined; signal?: AbortSignal | undefined },
  ): Promise<Message>
}

const DEFAULT_TIMEOUT_MS = 5_000
/** The daemon drops an unauthenticated connection after 10 s and a challenge after 30 s. */
const SIGNER_TIMEOUT_MS = 30_000
const SHORTEST_CHALLENGE = 16
const LONGEST_CHALLENGE = 256

/** @param endpoint The name under which the daemon is remembered. */
export async function authenticate(
  connection: Caller,
  endpoint: string,
  {
    name,
    signer,
    timeoutMs = DEFAULT_TIMEOUT_MS,
    signal,
    knownServerPath,
    txnToken,
  }: Authentication,
): Promise<SessionInfo> {
  const bounds = { timeoutMs, signal }
  const txn = txnToken && (await txnTokenOf(txnToken, bounds))
  const clientNonce = knownServerPath === undefined ? undefined : randomBytes(32)
  const offer = await connection.call(
    'authenticate',
    {
      agent_name: name,
      ...(clientNonce && { client_nonce: clientNonce.toString('hex') }),
      ...(txn && { txn_token: txn }),
    },
    bounds,
  )
  const sessionId = offer['session_id']
  const challenge = hexMember(offer, 'challenge')
  if (typeof sessionId !== 'string' || !challenge || !isChallenge(challenge)) {
    throw malformed('authenticate')
  }
  const server = clientNonce && proveServer(offer, { clientNonce, challenge, sessionId, name })
  const known =
    server && knownServerPath !== undefined
      ? await isKnownServer(knownServerPath, endpoint, server.toString('hex'))
      : true

  const sign = (message: Uint8Array): Promise<string> => signature(signer, message, signal)
  const params: Message = { session_id: sessionId, signature: await sign(challenge) }
  if (server) {
    const message = agentMessage({ serverId: server, agentName: name, sessionId, challenge })
    params['signature_v2'] = await sign(message)
  }
  const reply = await connection.call('challenge_response', params, bounds)
  if (reply['authenticated'] !== true) {
    throw new AuthError(undefined, { detail: 'The daemon did not confirm the session' })
  }
  if (server && knownServerPath !== undefined && !known) {
    await trustServer(knownServerPath, endpoint, server.toString('hex'))
  }
  return sessionInfo(sessionId, reply)
}

/** Before anything is sent: the daemon's patience is for the signature. */
async function txnTokenOf(
  given: TxnToken,
  { timeoutMs, signal }: { timeoutMs: number; signal: AbortSignal | undefined },
): Promise<string> {
  const token = await within(currentTxnToken(given), {
    ms: timeoutMs,
    signal,
    late: () => vaultError('TIMEOUT', `txnToken gave no token within ${timeoutMs} ms`),
  })
  if (token === undefined) throw vaultError('INVALID_PARAMS', 'txnToken gave no transaction token')
  return token
}

/** The id of a daemon that signed our nonce; a daemon that cannot is refused. */
function proveServer(
  offer: Message,
  fields: { clientNonce: Uint8Array; challenge: Uint8Array; sessionId: string; name: string },
): Buffer {
  const serverId = hexMember(offer, 'server_id')
  const publicKey = hexMember(offer, 'server_public_key')
  const proof = hexMember(offer, 'server_signature')
  if (!serverId || !publicKey || !proof) {
    throw new AuthError(undefined, {
      detail: 'The daemon offers no proof of its identity',
      suggestion: 'Upgrade the daemon, or connect without pinServer.',
    })
  }
  const message = serverMessage({ ...fields, agentName: fields.name })
  if (!serverIdOf(publicKey).equals(serverId) || !verifies(publicKey, message, proof)) {
    throw new AuthError(undefined, {
      detail: "The daemon's proof of its identity does not verify",
      suggestion: 'Something else may be answering at this address; ask an operator.',
    })
  }
  return serverId
}

async function signature(
  signer: Signer,
  message: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<string> {
  const signed = await within(signer(message), {
    ms: SIGNER_TIMEOUT_MS,
    signal,
    late: () => vaultError('TIMEOUT', `The signer did not answer within ${SIGNER_TIMEOUT_MS} ms`),
  })
  if (!(signed instanceof Uint8Array) || signed.length !== SIGNATURE_BYTES) {
    throw new AuthError(undefined, {
      detail: `The signer must return the ${SIGNATURE_BYTES} bytes of an Ed25519 signature`,
    })
  }
  return Buffer.from(signed).toString('hex')
}

function sessionInfo(sessionId: string, reply: Message): SessionInfo {
  const info: SessionInfo = { session_id: sessionId }
  for (const key of ['agent', 'expires_at', 'server_time', 'txn'] as const) {
    const value = reply[key]
    if (typeof value === 'string') info[key] = value
  }
  for (const key of ['expires_in', 'idle_timeout'] as const) {
    const value = reply[key]
    if (typeof value === 'number') info[key] = value
  }
  return info
}

function hexMember(message: Message, key: string): Buffer | undefined {
  const value = message[key]
  return typeof value === 'string' ? bytesOfHexText(value) : undefined
}

function isChallenge(bytes: Uint8Array): boolean {
  return bytes.length >= SHORTEST_CHALLENGE && bytes.length <= LONGEST_CHALLENGE
}

function malformed(method: string): VaultError {
  return vaultError('INTERNAL_ERROR', `The daemon's reply to ${method} lacks required members`, {
    suggestion: 'Check that the address is the vault and that versions match.',
  })
}
