/** In a thread of its own: reads a table and says what is in it. */
import { createReadStream } from 'node:fs'
import { parentPort, workerData } from 'node:worker_threads'
import { parse } from 'csv-parse'
import { MAX_COLUMNS, Table } from './statistics.ts'

export type TableInput =
  /** An open file, within bounds. */
  | { readonly fd: number; readonly maxBytes: number }
  | { readonly rows: readonly (readonly unknown[])[]; readonly names: readonly string[] }
  | { readonly text: string }

export type TableAnswer =
  | { readonly ok: true; readonly statistics: ReturnType<Table['statistics']> }
  | { readonly ok: false; readonly message: string }

const BOM_16LE = [0xff, 0xfe]
const BOM_16BE = [0xfe, 0xff]

async function read(input: TableInput) {
  if ('rows' in input) {
    const table = new Table(input.names)
    for (const row of input.rows) table.add(row)
    return table.statistics()
  }
  const bytes =
    'fd' in input
      ? createReadStream('', { fd: input.fd, autoClose: false })
      : [Buffer.from(input.text)]
  const parser = parse({
    bom: true,
    skip_empty_lines: true,
    relax_column_count: true,
    max_record_size: 1_048_576,
    delimiter: [',', ';', '\t'],
  })
  let table: Table | undefined
  const fed = feed(parser, bytes, 'fd' in input ? input.maxBytes : Number.POSITIVE_INFINITY)
  for await (const record of parser as AsyncIterable<string[]>) {
    if (table === undefined) {
      if (record.length > MAX_COLUMNS) throw new Error(`it has more than ${MAX_COLUMNS} columns`)
      table = new Table(uniqueNames(record))
    } else table.add(record)
  }
  await fed
  if (table === undefined) throw new Error('it is empty')
  return table.statistics()
}

async function feed(
  parser: ReturnType<typeof parse>,
  chunks: AsyncIterable<Buffer> | Iterable<Buffer>,
  maxBytes: number,
): Promise<void> {
  let decoder: InstanceType<typeof TextDecoder> | undefined
  let taken = 0
  try {
    for await (const chunk of chunks) {
      taken += chunk.length
      if (taken > maxBytes) throw new Error(`it takes more than ${maxBytes} bytes`)
      decoder ??= new TextDecoder(encodingOf(chunk))
      if (!parser.write(decoder.decode(chunk, { stream: true })))
        await new Promise((resolve) => parser.once('drain', resolve))
    }
    parser.end(decoder?.decode() ?? '')
  } catch (error) {
    parser.destroy(error as Error) // whoever reads the parser is told
  }
}

/** As its first bytes say; text without a mark is UTF-8, or Latin-1 where that is not possible. */
function encodingOf(chunk: Buffer): string {
  const begins = (mark: readonly number[]) => mark.every((byte, at) => chunk[at] === byte)
  if (begins(BOM_16LE)) return 'utf-16le'
  if (begins(BOM_16BE)) return 'utf-16be'
  try {
    // The last character of a piece may go on in the next.
    new TextDecoder('utf-8', { fatal: true }).decode(chunk, { stream: true })
    return 'utf-8'
  } catch {
    return 'windows-1252'
  }
}

function uniqueNames(header: readonly string[]): string[] {
  const seen = new Map<string, number>()
  return header.map((given, at) => {
    const name = given.trim() || `column_${at + 1}`
    const times = (seen.get(name) ?? 0) + 1
    seen.set(name, times)
    return times === 1 ? name : `${name}_${times}`
  })
}

read(workerData as TableInput).then(
  (statistics) => parentPort?.postMessage({ ok: true, statistics } satisfies TableAnswer),
  (error: unknown) =>
    parentPort?.postMessage({
      ok: false,
      message: error instanceof Error ? error.message : String(error),
    } satisfies TableAnswer),
)
