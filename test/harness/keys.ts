/** Ed25519 keys as agents hold them. */
import { createPrivateKey, createPublicKey, randomBytes, sign } from 'node:crypto'

export interface AgentKeys {
  readonly name: string
  readonly seed: Buffer
  readonly publicKeyHex: string
}

const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex')

export function privateKey(seed: Uint8Array) {
  return createPrivateKey({ key: Buffer.concat([PKCS8, seed]), format: 'der', type: 'pkcs8' })
}

export function publicKeyHex(seed: Uint8Array): string {
  const spki = createPublicKey(privateKey(seed)).export({ format: 'der', type: 'spki' })
  return spki.subarray(spki.length - 32).toString('hex')
}

export function newAgentKeys(name: string, seed: Buffer = randomBytes(32)): AgentKeys {
  return { name, seed, publicKeyHex: publicKeyHex(seed) }
}

export function signHex(seed: Uint8Array, message: Uint8Array): string {
  return sign(null, message, privateKey(seed)).toString('hex')
}
