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
import {
  chmod,
  copyFile,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  rm,
  writeFile,
} from 'node:fs/promises'
import { isAbsolute, join } from 'node:path'
import { createInterface } from 'node:readline'
import { pipeline } from 'node:stream/promises'
import { canonicalJson } from '@vestry/contract/canonical'
import { VestryError } from '@vestry/contract/errors'
import { VERSION } from '@vestry/contract/version'
import type { Kysely } from 'kysely'
import * as z from 'zod'
import type { Tables } from '../store/schema.ts'
import type { Store } from '../store/store.ts'
import type { Parts } from './assemble.ts'
import type { Home } from './home.ts'
import { forgetRestored, rememberRestored } from './restored.ts'
import type { GuardedTable } from './row-state.ts'

/**
 * Everything that cannot be made anew, by table and its key. Counters, leases and the query index can. Tokens and the journal stay
 * behind on purpose: old ones would undo revocations and send again what was sent since. So do claims, whose processes
 * are elsewhere, and what agents were running. Runs come along, since their rows are part of the signed fingerprint, and are closed when the restored
 * vault is opened.
 */
const KEYS = {
  meta: ['key'],
  slot: ['id'],
  keyring: ['id'],
  agent: ['id'],
  operator: ['id'],
  api_key: ['id'],
  policy: ['id'],
  policy_set: ['digest'],
  credential: ['path'],
  credential_version: ['path', 'version'],
  tool: ['id'],
  run: ['id'],
  run_key: ['id'],
  claim_terms: ['id'],
  review: ['id'],
  review_analysis: ['id'],
  review_transition: ['review_id', 'seq'],
  signing_key: ['id'],
  tool_signature: ['id'],
  key_pin: ['id'],
  sealed_setting: ['id'],
  mcp_server: ['id'],
  mcp_tool_pin: ['id'],
  runtime_agent: ['id'],
  http_input: ['id'],
  http_endpoint: ['id'],
  workflow_definition: ['id'],
  dsl_program: ['id'],
  deployment: ['id'],
  schedule: ['id'],
  knowledge_class: ['id'],
  knowledge_item: ['id'],
  knowledge_chunk: ['item_id', 'seq'],
  knowledge_change: ['revision'],
  memory_node: ['id'],
  vector_collection: ['id'],
  vector_point: ['collection', 'id'],
  // A restored store without one of the guarded tables would not be opened.
} as const satisfies Partial<Record<keyof Tables, readonly [string, ...string[]]>> &
  Record<GuardedTable, readonly [string, ...string[]]>

/** Parents before children. */
const TABLES = Object.keys(KEYS) as (keyof typeof KEYS)[]

const PAGE = 500

const Manifest = z.object({
  format: z.literal(1),
  version: z.string(),
  vault_id: z.string(),
  created_at: z.string(),
  generation: z.int(),
  created_by: z.string(),
  /** File name → SHA-256 hex. */
  files: z.record(z.string(), z.string().regex(/^[0-9a-f]{64}$/)),
  server_public_key: z.string().regex(/^[0-9a-f]{64}$/),
})
type Manifest = z.output<typeof Manifest>
const SignedManifest = Manifest.extend({ signature: z.string() })

/** @throws VestryError STORE_UNAVAILABLE, AUDIT_UNAVAILABLE, INVALID_PARAMS for a directory that cannot be written. */
export async function backup(
  { audit, seal, store, home }: Parts,
  directory: string,
  by: string,
): Promise<Record<string, unknown>> {
  if (!isAbsolute(directory)) {
    throw new VestryError('INVALID_PARAMS', 'the directory must be an absolute path')
  }
  const { serverKey, vaultId } = seal.keys
  const name = `vestry-backup-${new Date().toISOString().replaceAll(/[:.]/g, '-')}`
  const target = join(directory, name)
  await makeDirectory(directory, target)
  try {
    const header = `${JSON.stringify(await seal.exportHeader(), null, 2)}\n`
    await writeFile(join(target, 'vault.hdr'), header, { mode: 0o600, flush: true })
    await audit.flush()
    let closed: string[] = []
    // The log while no change can commit: it then mentions none that the copied rows do not have.
    const generation = await writeTables(store, join(target, 'store.jsonl'), async () => {
      closed = await copyOpenSegment(home, target)
    })
    for (const file of closed) await copyFile(join(home.audit, file), join(target, file))
    const files: Record<string, string> = {}
    for (const file of (await readdir(target)).sort())
      files[file] = await hashFile(join(target, file))
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
    const signature = cryptoSign(null, signedBytes(manifest), serverKey.privateKey)
    const signed = { ...manifest, signature: signature.toString('base64') }
    await writeFile(join(target, 'manifest.json'), `${JSON.stringify(signed, null, 2)}\n`, {
      mode: 0o600,
      flush: true,
    })
    return { directory: target, files: Object.keys(files).length + 1, generation }
  } catch (error) {
    await rm(target, { recursive: true, force: true }) // half a backup is none
    throw error
  }
}

/** What is still written to; the head first, so that it never knows more than the log copied after it. */
const GROWING = ['audit.head', 'audit.jsonl']

/** @returns The segments that were closed by then, which do not change any more. */
async function copyOpenSegment(home: Home, target: string): Promise<string[]> {
  for (;;) {
    const before = await logFiles(home)
    for (const file of GROWING) {
      if (before.includes(file)) await copyFile(join(home.audit, file), join(target, file))
    }
    const after = await logFiles(home)
    if (after.join() === before.join()) return after.filter((file) => !GROWING.includes(file))
    // Rotated under our hands: what was copied may belong to the segment before.
  }
}

async function logFiles({ audit }: Home): Promise<string[]> {
  const names = await readdir(audit)
  return names.filter((name) => LOG_FILE.test(name)).sort()
}

/** The backup's own folder must be new: one that is there already is somebody else's, or a link of theirs. */
async function makeDirectory(directory: string, target: string): Promise<void> {
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 })
    await mkdir(target, { mode: 0o700 })
  } catch (cause) {
    throw new VestryError('INVALID_PARAMS', `cannot write to ${target}`, {
      hint: 'Choose a directory that the user of the daemon may write to',
      cause,
    })
  }
}

/**
 * Checks a backup and writes it into a home that holds no store and no log yet. Whether its own server has signed
 * it shows when the vault is opened for the first time.
 * @throws VestryError CONFLICT when something is there; STORE_CORRUPT when a file or the signature is wrong.
 */
export async function restore(
  directory: string,
  home: Home,
  store: Store,
): Promise<{ vaultId: string; rows: number }> {
  const manifest = await readManifest(directory)
  const existing = await store.db.selectFrom('keyring').select('id').executeTakeFirst()
  if (existing !== undefined) throw occupied('the store already holds a vault')
  await mkdir(home.audit, { recursive: true, mode: 0o700 })
  await mkdir(home.data, { recursive: true, mode: 0o700 })
  if ((await logFiles(home)).length > 0) throw occupied(`${home.audit} already holds a log`)
  const logs = Object.keys(manifest.files).filter((name) => !OWN_FILES.includes(name))
  try {
    // The log first: a store without its log would be taken for one whose log was deleted.
    for (const name of logs) {
      await copyFile(join(directory, name), join(home.audit, name))
      await chmod(join(home.audit, name), 0o600) // a copy takes the modes along, whoever changed them
    }
    rememberRestored(home, manifest.server_public_key)
    const rows = await readTables(store, join(directory, 'store.jsonl'))
    return { vaultId: manifest.vault_id, rows }
  } catch (error) {
    for (const name of logs) await rm(join(home.audit, name), { force: true })
    forgetRestored(home)
    throw error
  }
}

const OWN_FILES = ['store.jsonl', 'vault.hdr']
/** What the log is made of; nothing else is put beside it. */
const LOG_FILE = /^audit(?:-\d+|-legacy-\d+)?\.jsonl$|^audit\.head$/
const INSERT_ROWS = 200

/** All or nothing, as one transaction; rows of a table go in together, which is what makes it quick. */
async function readTables(store: Store, path: string): Promise<number> {
  return store.write(async (trx) => {
    await trx.deleteFrom('meta').execute()
    let count = 0
    let table: (typeof TABLES)[number] | undefined
    let rows: never[] = []
    const insert = async (): Promise<void> => {
      if (table !== undefined && rows.length > 0) await trx.insertInto(table).values(rows).execute()
      rows = []
    }
    for await (const line of createInterface({ input: createReadStream(path, 'utf8') })) {
      const entry = JSON.parse(line, revive) as { table: (typeof TABLES)[number]; row: never }
      if (!TABLES.includes(entry.table)) throw corrupt('store.jsonl')
      if (entry.table !== table || rows.length === INSERT_ROWS) await insert()
      table = entry.table
      rows.push(entry.row)
      count += 1
    }
    await insert()
    await trx.deleteFrom('row_change').execute() // the state that came along already counts them
    return count
  })
}

function occupied(what: string): VestryError {
  return new VestryError('CONFLICT', what, {
    hint: 'Restore into a new --home or an empty database',
  })
}

async function readManifest(directory: string): Promise<Manifest> {
  let text: string
  try {
    text = await readFile(join(directory, 'manifest.json'), 'utf8')
  } catch (cause) {
    throw new VestryError('INVALID_PARAMS', `${directory} holds no readable manifest.json`, {
      hint: 'Name the folder that "vestry backup" made',
      cause,
    })
  }
  const { signature, ...manifest } = parseManifest(text)
  const key = createPublicKey({
    key: Buffer.concat([
      Buffer.from('302a300506032b6570032100', 'hex'), // SPKI prefix of a raw Ed25519 key, RFC 8410
      Buffer.from(manifest.server_public_key, 'hex'),
    ]),
    format: 'der',
    type: 'spki',
  })
  const bytes = Buffer.from(signature, 'base64')
  if (!cryptoVerify(null, signedBytes(manifest), key, bytes)) throw corrupt('manifest.json')
  for (const [name, hash] of Object.entries(manifest.files)) {
    if (!OWN_FILES.includes(name) && !LOG_FILE.test(name)) throw corrupt(name)
    const path = join(directory, name)
    const isFile = await lstat(path).then(
      (stat) => stat.isFile(),
      () => false,
    )
    if (!isFile || (await hashFile(path)) !== hash) throw corrupt(name)
  }
  return manifest
}

function parseManifest(text: string): z.output<typeof SignedManifest> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw corrupt('manifest.json')
  }
  const parsed = SignedManifest.safeParse(value)
  if (parsed.success) return parsed.data
  throw corrupt('manifest.json')
}

function signedBytes(manifest: Manifest): Buffer {
  return Buffer.from(canonicalJson(manifest))
}

/**
 * One transaction sees one state.
 * @param meanwhile Runs before the transaction ends, so while nothing can be changed.
 * @returns the generation it was at.
 */
async function writeTables(
  store: Store,
  path: string,
  meanwhile: () => Promise<void>,
): Promise<number> {
  const file = await open(path, 'w', 0o600)
  try {
    const generation = await store.write(async (trx) => {
      await file.truncate(0) // a lost race runs this again
      const row = await trx
        .updateTable('meta')
        .set((eb) => ({ value: eb.ref('value') })) // held: changes begin by raising it
        .where('key', '=', 'generation')
        .returning('value')
        .executeTakeFirstOrThrow()
      let at = 0
      for (const table of TABLES) {
        for await (const rows of pagesOf(trx, table)) {
          const lines = rows.map((row) => `${JSON.stringify({ table, row }, replaceBytes)}\n`)
          at += (await file.write(lines.join(''), at)).bytesWritten
        }
      }
      await meanwhile()
      return Number(row.value)
    })
    await file.sync()
    return generation
  } finally {
    await file.close()
  }
}

/** By key and not by offset, which would read everything before it again. */
async function* pagesOf(
  trx: Kysely<Tables>,
  table: (typeof TABLES)[number],
): AsyncGenerator<readonly object[]> {
  const key = KEYS[table]
  // The columns are those of KEYS, which the compiler cannot follow through a table that varies.
  const all = trx as unknown as Kysely<Record<string, Record<string, unknown>>>
  let last: Record<string, unknown> | undefined
  for (;;) {
    let query = all.selectFrom(table).selectAll().limit(PAGE)
    for (const column of key) query = query.orderBy(column)
    const after = last
    if (after !== undefined) {
      query = query.where((eb) =>
        eb.and([
          eb(key[0], '>=', after[key[0]]),
          eb.or(
            key.map((column, index) =>
              eb.and([
                ...key.slice(0, index).map((before) => eb(before, '=', after[before])),
                eb(column, '>', after[column]),
              ]),
            ),
          ),
        ]),
      )
    }
    const rows = await query.execute()
    if (rows.length > 0) yield rows
    if (rows.length < PAGE) return
    last = rows.at(-1)
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
