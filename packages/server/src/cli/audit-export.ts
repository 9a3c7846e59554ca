/** `vestry audit export`: the record's own lines, to stdout or a new file. */
import { open } from 'node:fs/promises'
import { VestryError } from '@vestry/contract/errors'
import type { CommandIo } from './command-io.ts'
import { facts } from './table.ts'

interface ExportOptions {
  from?: number
  to?: number
  since?: number
  until?: number
  out?: string
}

export async function printExport(io: CommandIo, options: ExportOptions): Promise<void> {
  const params = {
    from_seq: options.from,
    to_seq: options.to,
    since: options.since,
    until: options.until,
  }
  await using sink = await sinkFor(io, options.out)
  const reply = await io.admin(async (admin) => {
    const last = await admin.call('admin.audit.export', params, {
      signal: io.signal,
      onMore: (part) => sink.write(linesOf(part)),
    })
    sink.write(linesOf(last))
    return last
  }, 'exporting the record')
  const { lines: _, more: __, ...summary } = reply
  const document = { ...summary, ...(await sink.finish()) }
  if (options.out !== undefined || io.json) {
    io.print(document, (paint) => facts(Object.entries(document), paint))
  }
}

interface Sink extends AsyncDisposable {
  write(lines: readonly string[]): void
  /** @returns What the summary says of where the lines went. */
  finish(): Promise<Record<string, unknown>>
}

async function sinkFor(io: CommandIo, path: string | undefined): Promise<Sink> {
  if (path === undefined) return io.json ? collected() : printed(io)
  const file = await open(path, 'wx', 0o600).catch((cause: unknown) => {
    const exists = cause instanceof Error && 'code' in cause && cause.code === 'EEXIST'
    const message = exists ? `${path} exists and is not overwritten` : `${path} cannot be written`
    throw new VestryError(exists ? 'CONFLICT' : 'NOT_FOUND', message, {
      hint: 'Choose another --out',
      cause,
    })
  })
  // One after the other, whatever the pace at which they arrive.
  let written: Promise<unknown> = Promise.resolve()
  const write = (lines: readonly string[]): void => {
    const text = lines.map((line) => `${line}\n`).join('')
    written = written.then(() => file.writeFile(text))
    written.catch(() => undefined) // told by finish()
  }
  return {
    write,
    finish: async () => {
      await written
      await file.sync()
      return { file: path }
    },
    [Symbol.asyncDispose]: () => file.close(),
  }
}

function printed(io: CommandIo): Sink {
  return {
    // Byte for byte: the lines are JSON, which has no raw controls, and their hashes must hold.
    write: (lines) => {
      for (const line of lines) io.terminal.stdout.write(`${line}\n`)
    },
    finish: async () => ({}),
    [Symbol.asyncDispose]: async () => {},
  }
}

function collected(): Sink {
  const all: string[] = []
  return {
    write: (lines) => void all.push(...lines),
    finish: async () => ({ lines: all }),
    [Symbol.asyncDispose]: async () => {},
  }
}

function linesOf(part: Readonly<Record<string, unknown>>): string[] {
  const { lines } = part
  return Array.isArray(lines) ? lines.map(String) : []
}
