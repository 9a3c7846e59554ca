/**
 * The bytes that are signed when a session begins. The plain flow signs the challenge alone; the
 * stronger one binds server, agent and session as well, so a relayed challenge is worth nothing.
 */
import { createHash } from 'node:crypto'

/** What the daemon signs to prove itself. `clientNonce` and `challenge` are raw bytes. */
export function serverMessage(fields: {
  clientNonce: Uint8Array
  challenge: Uint8Array
  sessionId: string
  agentName: string
}): Buffer {
  return framed('sanctum-server-v2', [
    fields.clientNonce,
    fields.challenge,
    utf8(fields.sessionId),
    utf8(fields.agentName),
  ])
}

/** What the agent signs as `signature_v2`. `serverId` is the 32 raw bytes of the daemon's id. */
export function agentMessage(fields: {
  serverId: Uint8Array
  agentName: string
  sessionId: string
  challenge: Uint8Array
}): Buffer {
  return framed('sanctum-auth-v2', [
    fields.serverId,
    utf8(fields.agentName),
    utf8(fields.sessionId),
    fields.challenge,
  ])
}

/** A daemon's id: SHA-256 of its Ed25519 public key. */
export function serverIdOf(publicKey: Uint8Array): Buffer {
  return createHash('sha256').update(publicKey).digest()
}

/** `label 00`, then each field behind its 16-bit big-endian length. */
function framed(label: string, fields: readonly Uint8Array[]): Buffer {
  const parts: Uint8Array[] = [utf8(`${label}\0`)]
  for (const field of fields) {
    const length = Buffer.alloc(2)
    length.writeUInt16BE(field.length)
    parts.push(length, field)
  }
  return Buffer.concat(parts)
}

const utf8 = (text: string): Buffer => Buffer.from(text, 'utf8')
