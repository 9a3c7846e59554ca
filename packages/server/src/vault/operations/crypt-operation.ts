/** `encrypt`, `decrypt` and `rewrap`: the credential as a key the agent never sees (wire contract §7.6). */
import { isUtf8 } from 'node:buffer'
import { VestryError } from '@vestry/contract/errors'
import { parseUseCiphertext, useDecrypt, useEncrypt } from '../../seal/use-key.ts'
import type { Credential } from '../credential.ts'
import { MAX_REPLY_BYTES } from '../wire/reply.ts'
import type { Opened, Operation } from './operation.ts'
import { dataBytes, invalid, optionalString, type Params } from './params.ts'

const MAX_PLAINTEXT_BYTES = 1024 * 1024
const MAX_CIPHERTEXT_CHARS = 2 * 1024 * 1024
const MAX_CONTEXT_BYTES = 1024
/** Room for the envelope within one frame. */
const MAX_TEXT_BYTES = MAX_REPLY_BYTES - 4096
const ALGORITHM = 'aes-256-gcm'

export const encryptOperation: Operation = {
  params: ['data', 'plaintext', 'data_encoding', 'context'],
  prepare(params) {
    const data = dataBytes(params, ['data', 'plaintext'], MAX_PLAINTEXT_BYTES)
    const context = readContext(params)
    return {
      context: { algorithm: ALGORITHM, dataBytes: data.length },
      data: { bytes_in: data.length },
      approvalParams: { data: data.toString('base64'), context },
      async run({ call, path, open, note }) {
        const { secret, version } = await open()
        using key = secret
        await call.vault.credentials.countEncryption(path, version)
        const place = { vaultId: call.vault.seal.keys.vaultId, path, version, context }
        const ciphertext = useEncrypt(place, key.bytes, data)
        note({ version })
        return { result: { ciphertext, algorithm: ALGORITHM, key_version: version } }
      },
    }
  },
}

export const decryptOperation: Operation = {
  params: ['data', 'ciphertext', 'context', 'output_encoding'],
  prepare(params) {
    const text = readCiphertext(params)
    const context = readContext(params)
    const encoding = optionalString(params, 'output_encoding', 16) ?? 'auto'
    if (!['auto', 'utf8', 'base64'].includes(encoding)) {
      throw invalid('output_encoding', 'must be auto, utf8 or base64')
    }
    return {
      context: { algorithm: ALGORITHM, dataBytes: text.length },
      data: { bytes_in: text.length },
      approvalParams: { ciphertext: text, context },
      async run({ call, path, open, note }) {
        const { vaultId } = call.vault.seal.keys
        const { plaintext, version } = await openCiphertext({ text, context, path, vaultId, open })
        using opened = plaintext
        note({ version, bytes_out: opened.length })
        // The plaintext is the agent's own data, not the credential.
        const bytes = Buffer.from(opened.bytes)
        return { result: { ...rendered(bytes, encoding), key_version: version } }
      },
    }
  },
}

export const rewrapOperation: Operation = {
  params: ['data', 'ciphertext', 'context'],
  prepare(params) {
    const text = readCiphertext(params)
    const context = readContext(params)
    return {
      context: { algorithm: ALGORITHM, dataBytes: text.length },
      data: { bytes_in: text.length },
      approvalParams: { ciphertext: text, context },
      async run({ call, path, open, note }) {
        const { vaultId } = call.vault.seal.keys
        const old = await openCiphertext({ text, context, path, vaultId, open })
        using plaintext = old.plaintext
        const { secret, version } = await open()
        using key = secret
        await call.vault.credentials.countEncryption(path, version)
        const ciphertext = useEncrypt(
          { vaultId, path, version, context },
          key.bytes,
          plaintext.bytes,
        )
        note({ version, from_version: old.version })
        return { result: { ciphertext, algorithm: ALGORITHM, key_version: version } }
      },
    }
  },
}

/** `auto` gives text where the bytes are text, unless escaping would blow it out of the frame. */
function rendered(bytes: Buffer, encoding: string): Record<string, unknown> {
  if (encoding !== 'base64' && isUtf8(bytes)) {
    const plaintext = bytes.toString('utf8')
    if (encoding === 'utf8' || Buffer.byteLength(JSON.stringify(plaintext)) <= MAX_TEXT_BYTES)
      return { plaintext, plaintext_encoding: 'utf8' }
  }
  if (encoding === 'utf8') throw invalid('output_encoding', 'is utf8, but the plaintext is not')
  return { plaintext: bytes.toString('base64'), plaintext_encoding: 'base64' }
}

async function openCiphertext(input: {
  text: string
  context: string
  path: string
  vaultId: string
  open: (version?: number) => Promise<Opened>
}) {
  const { version, sealed } = parseUseCiphertext(input.text)
  const opened = await input.open(version).catch((error: unknown) => {
    // Which versions exist is nobody's business: an unknown one fails like a wrong tag.
    if (error instanceof VestryError && error.code === 'CREDENTIAL_NOT_FOUND') {
      throw new VestryError('DECRYPT_FAILED')
    }
    throw error
  })
  using key = opened.secret
  assertMayDecrypt(opened.credential, version)
  const place = { vaultId: input.vaultId, path: input.path, version, context: input.context }
  return { plaintext: useDecrypt(place, key.bytes, sealed), version }
}

function assertMayDecrypt({ min_decrypt_version }: Credential, version: number): void {
  if (version < min_decrypt_version) throw new VestryError('DECRYPT_FAILED')
}

function readCiphertext(params: Params): string {
  const data = optionalString(params, 'data', MAX_CIPHERTEXT_CHARS)
  const ciphertext = optionalString(params, 'ciphertext', MAX_CIPHERTEXT_CHARS)
  if (data !== undefined && ciphertext !== undefined && data !== ciphertext) {
    throw invalid('data', 'and ciphertext are both given and differ')
  }
  const text = ciphertext ?? data
  if (text === undefined) throw invalid('ciphertext', 'is required')
  return text
}

function readContext(params: Params): string {
  const context = optionalString(params, 'context', MAX_CONTEXT_BYTES) ?? ''
  if (Buffer.byteLength(context) > MAX_CONTEXT_BYTES) {
    throw invalid('context', `is larger than ${MAX_CONTEXT_BYTES} bytes`)
  }
  return context
}
