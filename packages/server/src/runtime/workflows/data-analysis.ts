/** The built-in workflow that says what is in a table: rows that come with the request, or a file of the data directory. */
import { constants } from 'node:fs'
import { type FileHandle, open, realpath } from 'node:fs/promises'
import { isAbsolute, join, resolve, sep } from 'node:path'
import { Worker } from 'node:worker_threads'
import { VestryError } from '@vestry/contract/errors'
import { MAX_COLUMNS, type TableStatistics } from './statistics.ts'
import type { TableAnswer, TableInput } from './table-worker.ts'

const MAX_FILE_BYTES = 64 * 1024 * 1024
const MAX_HEAP_MB = 1_024
const TABLES = /\.(?:csv|tsv|txt)$/i

/**
 * @param input A path within the data directory, CSV text, or rows: records, or lists of which the first has the names.
 * @throws VestryError PATH_REFUSED, NOT_FOUND, RESPONSE_TOO_LARGE, DOCUMENT_INVALID, INVALID_PARAMS; the signal's reason.
 */
export async function analyse(
  input: unknown,
  dataRoot: string,
  signal: AbortSignal,
): Promise<TableStatistics> {
  if (typeof input !== 'string') return inThread(rowsOf(input), signal)
  if (input.includes('\n')) return inThread({ text: input }, signal)
  await using file = await openData(input, dataRoot)
  return await inThread({ fd: file.fd, maxBytes: MAX_FILE_BYTES }, signal)
}

/** What is open is asked where it is: whatever was put in its place meanwhile does not count. */
async function openData(path: string, dataRoot: string): Promise<FileHandle> {
  if (path.includes('\0')) throw refused()
  const root = await realpath(dataRoot).catch(() => {
    throw missing()
  })
  const asked = isAbsolute(path) ? path : join(root, path)
  if (!within(resolve(asked), root) && !within(resolve(asked), resolve(dataRoot))) throw refused()
  const real = await realpath(asked).catch(() => {
    throw missing()
  })
  if (!within(real, root)) throw refused()
  // The daemon keeps files of its own in its home; none of them is a table.
  if (!TABLES.test(real)) throw refused()
  // Without waiting: a named pipe would keep it for ever.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
  const file = await open(real, flags).catch(() => {
    throw missing()
  })
  try {
    const stat = await file.stat()
    if (!stat.isFile() || !within(await placeOf(file, real), root)) throw refused()
    if (stat.size > MAX_FILE_BYTES)
      throw new VestryError('RESPONSE_TOO_LARGE', `A file takes at most ${MAX_FILE_BYTES} bytes`)
    return file
  } catch (error) {
    await file.close()
    throw error
  }
}

/** Where it is known what is open, it is asked; elsewhere the path is looked at once more. */
async function placeOf({ fd }: FileHandle, path: string): Promise<string> {
  return realpath(`/proc/self/fd/${fd}`).catch(() => realpath(path).catch(() => ''))
}

function within(path: string, root: string): boolean {
  return path.startsWith(root.endsWith(sep) ? root : root + sep)
}

function refused(): VestryError {
  return new VestryError(
    'PATH_REFUSED',
    'input_data leads out of the data directory, or to no table',
    {
      hint: 'Put a .csv, .tsv or .txt file into the directory that runtime.data_root names',
    },
  )
}

function missing(): VestryError {
  return new VestryError('NOT_FOUND', 'input_data names no file of the data directory')
}

function rowsOf(input: unknown): TableInput {
  if (!Array.isArray(input)) throw new VestryError('INVALID_PARAMS', 'input_data is a path or rows')
  const [first] = input
  if (Array.isArray(first)) {
    assertColumns(first.length)
    if (!input.every((row) => Array.isArray(row)))
      throw new VestryError('INVALID_PARAMS', 'rows are all lists, or all records')
    return { names: first.map(String), rows: input.slice(1) }
  }
  const names = new Set<string>()
  for (const row of input) {
    if (typeof row !== 'object' || row === null || Array.isArray(row))
      throw new VestryError('INVALID_PARAMS', 'rows are all lists, or all records')
    for (const name of Object.keys(row)) names.add(name)
    assertColumns(names.size)
  }
  const columns = [...names]
  return { names: columns, rows: input.map((row) => columns.map((name) => row[name])) }
}

function assertColumns(columns: number): void {
  if (columns > MAX_COLUMNS)
    throw new VestryError('INVALID_PARAMS', `a table has at most ${MAX_COLUMNS} columns`)
}

async function inThread(input: TableInput, signal: AbortSignal): Promise<TableStatistics> {
  signal.throwIfAborted()
  const worker = new Worker(new URL('./table-worker.ts', import.meta.url), {
    workerData: input,
    resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MB },
  })
  const { promise, resolve: told, reject } = Promise.withResolvers<TableStatistics>()
  const onAbort = () => reject(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  worker.once('message', (answer: TableAnswer) => {
    if (answer.ok) told(answer.statistics)
    else reject(new VestryError('DOCUMENT_INVALID', `The table cannot be read: ${answer.message}`))
  })
  worker.once('error', (cause) =>
    reject(new VestryError('DOCUMENT_INVALID', 'The table cannot be read', { cause })),
  )
  worker.once('exit', () => reject(new VestryError('DOCUMENT_INVALID', 'The table cannot be read')))
  try {
    return await promise
  } finally {
    signal.removeEventListener('abort', onAbort)
    await worker.terminate()
  }
}
