/** `vestry cred import`: many credentials from one file, each with its own outcome. */
import { open } from 'node:fs/promises'
import { extname } from 'node:path'
import { VestryError } from '@vestry/contract/errors'
import type { AdminClient } from './admin-client.ts'
import type { CommandIo } from './command-io.ts'
import { EXIT } from './exit-code.ts'
import { failureOf } from './failure.ts'
import { type ImportEntry, parseImport } from './import-file.ts'
import type { Busy } from './spinner.ts'
import { table } from './table.ts'

export const FORMATS = ['env', 'json', 'csv'] as const
export type Format = (typeof FORMATS)[number]
export const CONFLICTS = ['skip', 'overwrite', 'fail'] as const

export interface ImportOptions {
  format?: Format
  prefix?: string
  onConflict?: (typeof CONFLICTS)[number]
  dryRun?: boolean
}

interface Outcome {
  readonly path: string
  readonly outcome: 'created' | 'updated' | 'skipped' | 'failed'
  readonly version?: unknown
  readonly error?: { readonly code: string; readonly message: string }
}

/** 10 000 values of a few hundred bytes; more is not an import but a migration of data. */
const MAX_FILE_BYTES = 16_777_216

export async function importCredentials(
  io: CommandIo,
  file: string,
  options: ImportOptions,
): Promise<void> {
  const format = options.format ?? formatOf(file)
  const entries = placed(parseImport(await readText(io, file), format), options.prefix)
  const { onConflict = 'fail', dryRun = false } = options
  const outcomes = await io.admin(async (admin, busy) => {
    const existing = await existingPaths(admin, entries)
    if (onConflict === 'fail' && existing.size > 0) throw conflict(existing)
    return dryRun
      ? entries.map(({ path }) => expected(path, existing.has(path), onConflict))
      : writeAll(admin, entries, { existing, onConflict, busy, signal: io.signal })
  }, 'importing')
  const failed = outcomes.filter(({ outcome }) => outcome === 'failed').length
  if (failed > 0) io.exitCode = EXIT.failed
  io.print({ dry_run: dryRun, total: outcomes.length, failed, entries: outcomes }, (paint) =>
    table(
      [
        { title: 'PATH', value: 'path' },
        {
          title: 'OUTCOME',
          value: 'outcome',
          style: (row) => (row['outcome'] === 'failed' ? 'red' : undefined),
        },
        { title: 'VERSION', value: 'version', align: 'right' },
        { title: 'ERROR', value: 'error' },
      ],
      outcomes.map((outcome) => ({ ...outcome })),
      { paint, empty: 'the file holds no entries' },
    ),
  )
  io.note(
    dryRun
      ? 'Nothing was written (--dry-run).'
      : `${outcomes.length - failed} of ${outcomes.length} done.`,
  )
}

async function writeAll(
  admin: AdminClient,
  entries: readonly ImportEntry[],
  how: {
    existing: ReadonlySet<string>
    onConflict: string
    busy: Busy
    signal: AbortSignal
  },
): Promise<Outcome[]> {
  const outcomes: Outcome[] = []
  for (const [at, entry] of entries.entries()) {
    how.busy.say(`importing ${at + 1} of ${entries.length}`)
    const exists = how.existing.has(entry.path)
    if (exists && how.onConflict === 'skip') {
      outcomes.push({ path: entry.path, outcome: 'skipped' })
      continue
    }
    outcomes.push(await writeOne(admin, entry, exists, how))
  }
  return outcomes
}

async function writeOne(
  admin: AdminClient,
  { path, value, ...facts }: ImportEntry,
  exists: boolean,
  { onConflict, signal }: { onConflict: string; signal: AbortSignal },
): Promise<Outcome> {
  try {
    const params = {
      path,
      value_base64: value.toString('base64'),
      // Somebody else's write between the look and ours is a conflict too.
      ...(onConflict !== 'overwrite' && { expected_version: 0 }),
      ...facts,
    }
    const { version } = await admin.call('admin.cred.put', params, { signal })
    return { path, outcome: exists ? 'updated' : 'created', version }
  } catch (error) {
    const { code, message } = failureOf(error)
    // Without a daemon no later entry can fare better.
    if (code === 'CONNECTION_CLOSED' || code === 'VAULT_LOCKED') throw error
    return { path, outcome: 'failed', error: { code, message } }
  } finally {
    value.fill(0)
  }
}

function expected(path: string, exists: boolean, onConflict: string): Outcome {
  if (!exists) return { path, outcome: 'created' }
  return { path, outcome: onConflict === 'skip' ? 'skipped' : 'updated' }
}

async function existingPaths(
  admin: AdminClient,
  entries: readonly ImportEntry[],
): Promise<ReadonlySet<string>> {
  const { existing } = await admin.call('admin.cred.exists', {
    paths: entries.map(({ path }) => path),
  })
  return new Set(Array.isArray(existing) ? existing.map(String) : [])
}

function placed(entries: readonly ImportEntry[], prefix: string | undefined): ImportEntry[] {
  const below = prefix === undefined ? '' : `${prefix.replace(/\/+$/, '')}/`
  const seen = new Set<string>()
  return entries.map((entry) => {
    const path = below + entry.path
    if (seen.has(path)) {
      throw new VestryError('INVALID_PARAMS', `the file holds ${path} twice`, {
        hint: 'Nothing was written; keep one of them',
      })
    }
    seen.add(path)
    return { ...entry, path }
  })
}

async function readText(io: CommandIo, file: string): Promise<string> {
  using content = await io.secret(file === '-' ? { stdin: true } : { file }, {
    option: 'file',
    question: 'Entries',
    isNew: false,
    maxBytes: await sizeLimit(file),
    raw: true,
  })
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(content.secret.bytes)
  } catch (cause) {
    throw new VestryError('INVALID_PARAMS', `${file} is not UTF-8 text`, { cause })
  }
}

/** A buffer as large as the file, not as large as files may be. */
async function sizeLimit(file: string): Promise<number> {
  if (file === '-') return MAX_FILE_BYTES
  const handle = await open(file, 'r').catch((cause: unknown) => {
    throw new VestryError('NOT_FOUND', `${file} cannot be read`, { hint: 'Check the path', cause })
  })
  try {
    const { size } = await handle.stat()
    return Math.min(Math.max(size, 1), MAX_FILE_BYTES)
  } finally {
    await handle.close()
  }
}

function formatOf(file: string): Format {
  const found = FORMATS.find((format) => extname(file) === `.${format}`)
  if (found !== undefined) return found
  if (/(?:^|\/)\.env(?:\.[^/]*)?$/.test(file)) return 'env'
  throw new VestryError('USAGE', `the format of ${file} is not clear from its name`, {
    hint: `Give --format ${FORMATS.join(', ')}`,
  })
}

function conflict(existing: ReadonlySet<string>): VestryError {
  const paths = [...existing]
  const shown = paths.slice(0, 3).join(', ')
  const more = paths.length > 3 ? ` and ${paths.length - 3} more` : ''
  return new VestryError('CONFLICT', `${shown}${more} exist already; nothing was written`, {
    hint: 'Choose --on-conflict skip or overwrite',
    context: { existing: paths },
  })
}
