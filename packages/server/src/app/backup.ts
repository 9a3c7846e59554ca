/**
 * Backup: a consistent copy that holds ciphertext only, with a manifest the server signs. Restoring
 * needs what opens the seal; the copy alone opens nothing.
 */
import {
  createHash,
  createPublicKey,
  sign as cryptoSign,
  verify as cryptoVerify,
} from 'node:crypto'
import { createReadStream } from 'node:fs'
import { copyFile, mkdir, open, readdir, readFile, rename, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { canonicalJson } from '@vestry/contract/canonical'
import { VestryError } from '@vestry/contract/errors'
import { VERSION } from '@vestry/contract/version'
import type { Tables } from '../store/schema.ts'
import type { Store } from '../store/store.ts'
import type { Parts } from './assemble.ts'
import type { Home } from './home.ts'

/** Everything that cannot be made anew. Counters, leases and the query index can. */
const TABLES = [
  'meta',
  'slot',
  'keyring',
  'agent',
  'operator',
  'api_key',
  'policy',
  'policy_set',
  'credential',
  'credential_version',
] as const satisfies readonly (keyof Tables)[]

const PAGE = 500

interface Manifest {
  readonly format: 1
  readonly version: string
  readonly vault_id: string
  readonly created_at: string
  readonly generation: number
  readonly created_by: string
  /** File name → SHA-256 hex. */
  readonly files: Readonly<Record<string, string>>
  readonly server_public_key: string
}

export async function backup(
  parts: Parts,
  directory: string,
  by: string,
): Promise<Record<string, unknown>> {
  const { audit, seal, store, home } = parts
  const target = join(
    directory,
    `vestry-backup-${new Date().toISOString().replaceAll(/[:.]/g, '-')}`,
  )
  await mkdir(target, { recursive: true, mode: 0o700 })
  await audit.flush()
  const files: Record<string, string> = {}
  const write = async (name: string, text: string): Promise<void> => {
    await writeFile(join(target, name), text, { mode: 0o600, flush: true })
    files[name] = createHash('sha256').update(text).digest('hex')
  }
  await write('vault.hdr', `${JSON.stringify(await seal.exportHeader(), null, 2)}\n`)
  const generation = await writeTables(store, join(target, 'store.jsonl'))
  files['store.jsonl'] = await hashFile(join(target, 'store.jsonl'))
  for (const name of await readdir(home.audit)) {
    if (!name.endsWith('.jsonl') && name !== 'audit.head') continue
    await copyFile(join(home.audit, name), join(target, name))
    files[name] = await hashFile(join(target, name))
  }
  const { serverKey, vaultId } = seal.keys
  const manifest: Manifest = {
    format: 1,
    version: VERSION,
    vault_id: vaultId,
    created_at: new Date().toISOString(),
    generation,
    created_by: by,
    files,
    server_public_key: Buffer.from(serverKey.publicKey).toString('hex'),
  }
  const signature = cryptoSign(null, Buffer.from(canonicalJson(manifest)), serverKey.privateKey)
  const signed = { ...manifest, signature: signature.toString('base64') }
  await writeFile(join(target, 'manifest.json'), `${JSON.stringify(signed, null, 2)}\n`, {
    mode: 0o600,
    flush: true,
  })
  return { directory: target, files: Object.keys(files).length + 1, generation }
}

/**
 * Checks a backup and writes it into a home that holds no store yet.
 * @throws VestryError CONFLICT when there is one; STORE_CORRUPT when a file or the signature is wrong.
 */
export async function restore(
  directory: string,
  home: Home,
  store: Store,
): Promise<{ vaultId: string; rows: number }> {
  const manifest = await readManifest(directory)
  const existing = await store.db.selectFrom('keyring').select('id').executeTakeFirst()
  if (existing !== undefined) {
    throw new VestryError('CONFLICT', 'the store already holds a vault', {
      hint: 'Restore into a new --home or an empty database',
    })
  }
  let rows = 0
  const text = await readFile(join(directory, 'store.jsonl'), 'utf8')
  await store.write(async (trx) => {
    await trx.deleteFrom('meta').execute()
    for (const line of text.split('\n')) {
      if (line === '') continue
      const { table, row } = JSON.parse(line, revive) as {
        table: (typeof TABLES)[number]
        row: never
      }
      if (!TABLES.includes(table)) throw corrupt('store.jsonl')
      await trx.insertInto(table).values(row).execute()
      rows += 1
    }
  })
  await mkdir(home.audit, { recursive: true, mode: 0o700 })
  for (const name of Object.keys(manifest.files)) {
    if (name === 'store.jsonl' || name === 'vault.hdr') continue
    await copyFile(join(directory, name), join(home.audit, basename(name)))
  }
  return { vaultId: manifest.vault_id, rows }
}

async function readManifest(directory: string): Promise<Manifest> {
  let signed: Manifest & { signature: string }
  try {
    signed = JSON.parse(await readFile(join(directory, 'manifest.json'), 'utf8')) as typeof signed
  } catch (cause) {
    throw new VestryError('INVALID_PARAMS', `${directory} holds no readable manifest.json`, {
      cause,
    })
  }
  const { signature, ...manifest } = signed
  const key = createPublicKey({
    key: Buffer.concat([
      Buffer.from('302a300506032b6570032100', 'hex'), // SPKI prefix of a raw Ed25519 key, RFC 8410
      Buffer.from(manifest.server_public_key, 'hex'),
    ]),
    format: 'der',
    type: 'spki',
  })
  const holds = cryptoVerify(
    null,
    Buffer.from(canonicalJson(manifest)),
    key,
    Buffer.from(signature, 'base64'),
  )
  if (!holds) throw corrupt('manifest.json')
  for (const [name, hash] of Object.entries(manifest.files)) {
    if (name !== basename(name)) throw corrupt(name)
    if ((await hashFile(join(directory, name)).catch(() => '')) !== hash) throw corrupt(name)
  }
  return manifest
}

/** One transaction sees one state. @returns the generation it was at. */
async function writeTables(store: Store, path: string): Promise<number> {
  const draft = `${path}.part`
  const file = await open(draft, 'w', 0o600)
  try {
    const generation = await store.write(async (trx) => {
      for (const table of TABLES) {
        for (let offset = 0; ; offset += PAGE) {
          const rows = await trx
            .selectFrom(table)
            .selectAll()
            .orderBy(firstColumn(table))
            .limit(PAGE)
            .offset(offset)
            .execute()
          for (const row of rows)
            await file.write(`${JSON.stringify({ table, row }, replaceBytes)}\n`)
          if (rows.length < PAGE) break
        }
      }
      const row = await trx
        .selectFrom('meta')
        .select('value')
        .where('key', '=', 'generation')
        .executeTakeFirst()
      return Number(row?.value ?? 0)
    })
    await file.sync()
    await rename(draft, path)
    return generation
  } finally {
    await file.close()
  }
}

function firstColumn(table: (typeof TABLES)[number]) {
  switch (table) {
    case 'meta':
      return 'key'
    case 'policy_set':
      return 'digest'
    case 'credential':
    case 'credential_version':
      return 'path'
    default:
      return 'id'
  }
}

function replaceBytes(_key: string, value: unknown): unknown {
  if (value instanceof Uint8Array) return { $base64: Buffer.from(value).toString('base64') }
  // Buffers reach a replacer in the form their toJSON made.
  if (
    typeof value === 'object' &&
    value !== null &&
    'type' in value &&
    value.type === 'Buffer' &&
    'data' in value
  ) {
    return { $base64: Buffer.from(value.data as number[]).toString('base64') }
  }
  return value
}

function revive(_key: string, value: unknown): unknown {
  if (typeof value === 'object' && value !== null && '$base64' in value) {
    return new Uint8Array(Buffer.from(String(value.$base64), 'base64'))
  }
  return value
}

async function hashFile(path: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path), hash)
  return hash.digest('hex')
}

function corrupt(name: string): VestryError {
  return new VestryError('STORE_CORRUPT', `the backup was altered: ${name}`, {
    hint: 'Use another backup',
  })
}
