/** `vestry agent env NAME`: what an agent's clients read from their environment, as shell assignments. */
import { createPrivateKey } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { VestryError } from '@vestry/contract/errors'
import { isRow } from './cell.ts'
import type { CommandIo } from './command-io.ts'

/** PKCS #8 of an Ed25519 seed up to the seed (RFC 8410 §7). */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex')

export async function printAgentEnvironment(
  io: CommandIo,
  name: string,
  options: { keyFile?: string; passphraseFile?: string },
): Promise<void> {
  const agent = await io.call('agent.show', { name })
  const pem = await privateKey(io, String(agent['name']), options)
  const ready = readReady(io.home.ready)
  const variables: Record<string, string> = {
    ...(typeof ready['http'] === 'string' && { GATEWAY_URL: ready['http'] }),
    AGENT_ID: String(agent['id']),
    AGENT_PRIVATE_KEY: pem,
    ...(typeof ready['llm_socket'] === 'string' && { LLM_GATEWAY_SOCKET: ready['llm_socket'] }),
    ...(typeof ready['queue_socket'] === 'string' && { ENVPOD_SOCKET: ready['queue_socket'] }),
    ...(typeof ready['identity_socket'] === 'string' && {
      ENVPOD_IDENTITY_SOCKET: ready['identity_socket'],
    }),
    ENVPOD_AGENT_ID: String(agent['name']),
    ENVPOD_AGENT_ROLE: String(agent['role']),
  }
  io.print(variables, () =>
    Object.entries(variables)
      .map(([variable, value]) => `export ${variable}=${quoted(value)}\n`)
      .join(''),
  )
  io.note('AGENT_PRIVATE_KEY is the private key of the agent: keep this output where it belongs.')
}

/** The key file as the PEM that the gateway client takes. */
async function privateKey(
  io: CommandIo,
  name: string,
  { keyFile, passphraseFile }: { keyFile?: string; passphraseFile?: string },
): Promise<string> {
  const { readKeyFile } = await import('../identity/key-file.ts')
  const path = keyFile ?? defaultKeyFile(io, name)
  const isEncrypted = path.endsWith('.enc') || passphraseFile !== undefined
  using passphrase = isEncrypted
    ? await io.secret(
        { file: passphraseFile },
        {
          option: 'passphrase',
          question: 'Passphrase of the key file',
          isNew: false,
          maxBytes: 4_096,
        },
      )
    : undefined
  const { seed } = await readKeyFile(path, passphrase?.secret.bytes)
  using held = seed
  const der = Buffer.concat([PKCS8_PREFIX, held.bytes])
  try {
    const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
    return key.export({ type: 'pkcs8', format: 'pem' }).toString()
  } finally {
    der.fill(0)
  }
}

function defaultKeyFile(io: CommandIo, name: string): string {
  const plain = join(io.home.keys, `${name}.key`)
  const encrypted = `${plain}.enc`
  if (existsSync(plain)) return plain
  if (existsSync(encrypted)) return encrypted
  throw new VestryError('NOT_FOUND', `there is no key file ${plain}`, {
    hint: 'Give it with --key-file; a key registered with --public-key never was here',
  })
}

function readReady(path: string): Readonly<Record<string, unknown>> {
  try {
    const ready: unknown = JSON.parse(readFileSync(path, 'utf8'))
    return isRow(ready) ? ready : {}
  } catch {
    return {} // the daemon answered, so what is missing here is only where its other doors are
  }
}

/** For a shell and for env files: single quotes, in which nothing but the quote itself is special. */
function quoted(value: string): string {
  return `'${value.trimEnd().replaceAll("'", `'\\''`)}'`
}
