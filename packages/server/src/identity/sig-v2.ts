/**
 * The stronger handshake of wire contract §5.7: the daemon proves itself first, and the agent signs a message
 * that names daemon, agent and session, so a relayed challenge is of no use.
 */
import { sign } from 'node:crypto'
import { VestryError } from '@vestry/contract/errors'
import type { Keyring } from '../seal/keyring.ts'

export const NONCE_BYTES = 32

/** Unambiguous concatenation: each field is preceded by its 16-bit big-endian byte length. */
function framed(label: string, fields: readonly Uint8Array[]): Uint8Array {
  const parts: Uint8Array[] = [Buffer.from(label), Uint8Array.of(0)]
  for (const field of fields) {
    if (field.length > 0xffff)
      throw new VestryError('INVALID_PARAMS', 'agent_name is longer than 65535 bytes')
    parts.push(Uint8Array.of(field.length >> 8, field.length & 0xff), field)
  }
  return Buffer.concat(parts)
}

/** What the daemon signs. `clientNonce` and `challenge` are raw bytes. */
export function serverMessage(fields: {
  clientNonce: Uint8Array
  challenge: Uint8Array
  sessionId: string
  agentName: string
}): Uint8Array {
  return framed('sanctum-server-v2', [
    fields.clientNonce,
    fields.challenge,
    Buffer.from(fields.sessionId),
    Buffer.from(fields.agentName),
  ])
}

/** What the agent signs as `signature_v2`. `serverId` is the raw 32 bytes. */
export function agentMessage(fields: {
  serverId: Uint8Array
  agentName: string
  sessionId: string
  challenge: Uint8Array
}): Uint8Array {
  return framed('sanctum-auth-v2', [
    fields.serverId,
    Buffer.from(fields.agentName),
    Buffer.from(fields.sessionId),
    fields.challenge,
  ])
}

/** The members that `authenticate` adds to its result when the client sent a nonce; all hex. */
export interface ServerProof {
  server_id: string
  server_public_key: string
  server_signature: string
}

/** @throws VestryError `INVALID_PARAMS` when the nonce is not 32 bytes. */
export function proveServer(
  serverKey: Keyring['serverKey'],
  fields: Parameters<typeof serverMessage>[0],
): ServerProof {
  if (fields.clientNonce.length !== NONCE_BYTES)
    throw new VestryError('INVALID_PARAMS', 'client_nonce must be 64 hex digits')
  return {
    server_id: serverKey.id,
    server_public_key: Buffer.from(serverKey.publicKey).toString('hex'),
    server_signature: sign(null, serverMessage(fields), serverKey.privateKey).toString('hex'),
  }
}
