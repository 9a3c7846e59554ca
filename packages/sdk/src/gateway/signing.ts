/**
 * Signed token requests, wire contract §5.5: proves that the agent holds its key, to gateways that ask.
 * Signs with RSA (PKCS#1 v1.5, SHA-256) and Ed25519 keys; any other text signs nothing.
 */
import { createHash, createPrivateKey, type KeyObject, sign } from 'node:crypto'

export interface SignedParts {
  method: string
  /** Without query, as the gateway sees it. */
  path: string
  /** The exact text that is sent. */
  body: string
  timestampMs: number
  /** Fresh per attempt: the gateway accepts each once. */
  nonce: string
}

/** The headers that carry the proof. */
export type RequestSigner = (parts: SignedParts) => Record<string, string>

/** @returns undefined for text that is no private key of a kind the gateway verifies. */
export function signerOf(pem: string): RequestSigner | undefined {
  const key = privateKeyOf(pem)
  if (key === undefined) return undefined
  // Ed25519 hashes by itself; naming a digest for it is an error.
  const digest = key.asymmetricKeyType === 'rsa' ? 'sha256' : null
  return (parts) => ({
    'X-Agent-Timestamp': String(parts.timestampMs),
    'X-Agent-Nonce': parts.nonce,
    'X-Agent-Signature': `v1=${sign(digest, signedBytes(parts), key).toString('base64')}`,
  })
}

/** What to call for each unsigned request: the first one warns. */
export function warnOnceUnsigned(): () => void {
  let warned = false
  return () => {
    if (warned) return
    warned = true
    process.emitWarning(
      'The agent private key is no RSA or Ed25519 key in PEM: token requests are sent unsigned',
      { code: 'VESTRY_GATEWAY_UNSIGNED' },
    )
  }
}

/** Six lines, no newline at the end. */
export function signedBytes({ method, path, body, timestampMs, nonce }: SignedParts): Buffer {
  const bodyHash = createHash('sha256').update(body).digest('hex')
  const lines = ['4RUNR-AGENT-SIG-1', method.toUpperCase(), path, timestampMs, nonce, bodyHash]
  return Buffer.from(lines.join('\n'))
}

function privateKeyOf(pem: string): KeyObject | undefined {
  try {
    const key = createPrivateKey(pem)
    return key.asymmetricKeyType === 'rsa' || key.asymmetricKeyType === 'ed25519' ? key : undefined
  } catch {
    return undefined
  }
}
