/** `vestry knowledge …`: texts that agents may look up, and what they find. */
import { createHash } from 'node:crypto'
import { lstat, readdir, readFile, stat } from 'node:fs/promises'
import { basename, join, relative, sep } from 'node:path'
import { VestryError } from '@vestry/contract/errors'
import type { Command } from 'commander'
import { counted, type Row, rowOf, rowsOf } from './cell.ts'
import type { Run } from './command.ts'
import type { CommandIo } from './command-io.ts'
import { facts, table } from './table.ts'
import { safeLines, safeText } from './terminal-text.ts'

/** What fits, in base64, into one message to the daemon. */
const MAX_FILE_BYTES = 3_000_000
const TOO_LARGE = 'Split it, or send it to POST /api/v1/knowledge/documents, which takes 16 MiB'
const MAX_FILES = 5_000
const SOURCE = 'kind of source: document, code, api_reference or conversation'
const AGENT = 'as this agent sees it (default: everything)'

interface AddOptions {
  agent?: string
  label?: string[]
  source: string
  id?: string
}

interface FindOptions {
  agent?: string
  source?: string
  limit?: string
  threshold?: string
}

/** @returns The group, for commands of other files. */
export function knowledgeCommands(program: Command, run: Run): Command {
  const knowledge = program
    .command('knowledge')
    .description('texts that agents may look up, as policy permits')

  knowledge
    .command('add')
    .description('add files, directories, or "-" for standard input; the same path again replaces')
    .argument('<file...>', 'text, Markdown, HTML, CSV, JSON or PDF')
    .option('--agent <name>', 'own knowledge of this agent (default: shared)')
    .option('--label <label...>', 'labels, which policy and taint go by')
    .option('--source <kind>', SOURCE, 'document')
    .option('--id <id>', 'of a single file (default: its path)')
    .action(run(add))

  knowledge
    .command('search')
    .description('what a search finds, best first')
    .argument('<query>', 'a question, or a few words')
    .option('--agent <name>', AGENT)
    .option('--source <kind>', SOURCE)
    .option('--limit <n>', 'at most so many items', '10')
    .option('--threshold <score>', 'from 0 to 1', '0.4')
    .action(run(search))

  knowledge
    .command('context')
    .description('the passages that a prompt would be given')
    .argument('<query>', 'a question, or a few words')
    .option('--agent <name>', AGENT)
    .option('--limit <n>', 'at most so many passages', '5')
    .action(run(context))

  knowledge
    .command('list')
    .description('list items, newest first')
    .option('--agent <name>', AGENT)
    .option('--source <kind>', SOURCE)
    .option('--limit <n>', 'at most so many items, up to 100', '20')
    .action(run(list))

  knowledge
    .command('show')
    .description('show an item with its text')
    .argument('<id>', 'the item')
    .action(
      run(async (io, id: string) => {
        const item = await io.call('knowledge.show', { id })
        io.print(item, (paint) => {
          const { content, metadata: _, embedding: __, ...head } = item
          const shown = facts(Object.entries({ ...head, ...rowOf(item, 'metadata') }), paint)
          return `${shown}\n${safeLines(String(content))}\n`
        })
      }),
    )

  knowledge
    .command('rm')
    .description('delete an item and all that is found by it')
    .argument('<id>', 'the item')
    .action(
      run(async (io, id: string) => {
        const reply = await io.call('knowledge.rm', { id })
        io.print(reply, `deleted ${safeText(id)}`)
      }),
    )
  return knowledge
}

async function add(io: CommandIo, paths: readonly string[], options: AddOptions): Promise<void> {
  const files = (await Promise.all(paths.map(filesOf))).flat()
  if (options.id !== undefined && files.length !== 1)
    throw new VestryError('USAGE', '--id names one file', {
      hint: 'Give one file, or leave it out',
    })
  if (files.length > MAX_FILES)
    throw new VestryError('INVALID_PARAMS', `more than ${MAX_FILES} files at once`)
  const added: Row[] = []
  const skipped: Row[] = []
  for (const { path, found } of files) {
    try {
      added.push(await addOne(io, path, options))
    } catch (error) {
      // A directory holds more than texts; a file that was named is meant.
      if (!found || !isOfTheFile(error)) throw error
      skipped.push({ file: path, code: error.code, message: error.message })
      io.note(`skipped ${safeText(path)}: ${safeText(error.message)}`)
    }
  }
  const chunks = added.reduce((sum, one) => sum + Number(one['chunks']), 0)
  const left = skipped.length === 0 ? '' : `; skipped ${counted(skipped.length, 'file')}`
  io.print(
    { items: added, ...(skipped.length > 0 && { skipped }) },
    `added ${counted(added.length, 'item')} of ${counted(chunks, 'passage')}${left}`,
  )
}

async function addOne(io: CommandIo, file: string, options: AddOptions): Promise<Row> {
  const bytes = await bytesOf(io, file)
  if (bytes.length === 0) throw new VestryError('DOCUMENT_INVALID', `${file} is empty`)
  const body = {
    id: options.id ?? idOf(file, bytes),
    name: file === '-' ? 'stdin.md' : basename(file),
    base64: bytes.toString('base64'),
    source_type: options.source,
    labels: options.label ?? [],
    ...(options.agent !== undefined && { agent_id: options.agent }),
  }
  return io.call('knowledge.add', { body }, `adding ${safeText(file)}`)
}

interface NamedFile {
  readonly path: string
  /** In a directory that was named, not by itself. */
  readonly found: boolean
}

/** What says that one file is none to be added, and nothing of the next one. */
const OF_THE_FILE: ReadonlySet<string> = new Set([
  'UNSUPPORTED_VALUE',
  'DOCUMENT_INVALID',
  'REQUEST_TOO_LARGE',
])

/** Also of what the daemon answered, which is an error of its own kind. */
function isOfTheFile(error: unknown): error is Error & { readonly code: string } {
  return error instanceof Error && 'code' in error && OF_THE_FILE.has(String(error.code))
}

/**
 * Of a directory all files in it that are not hidden; what a link leads to is not part of it.
 * @throws VestryError NOT_FOUND, INVALID_PARAMS
 */
async function filesOf(path: string): Promise<NamedFile[]> {
  if (path === '-') return [{ path, found: false }]
  const found = await lstat(path).catch((cause: unknown) => {
    throw new VestryError('NOT_FOUND', `${path} cannot be read`, { hint: 'Check the path', cause })
  })
  if (found.isFile()) return [{ path, found: false }]
  if (!found.isDirectory())
    throw new VestryError('INVALID_PARAMS', `${path} is neither a file nor a directory`, {
      hint: 'Links are not followed: give what they lead to',
    })
  const entries = await readdir(path, { recursive: true, withFileTypes: true })
  const files = entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => !relative(path, file).split(sep).some(isHidden))
  if (files.length === 0)
    throw new VestryError('INVALID_PARAMS', `${path} holds no files`, {
      hint: 'Hidden files are left out',
    })
  return files.sort().map((file) => ({ path: file, found: true }))
}

const isHidden = (name: string): boolean => name.startsWith('.')

async function bytesOf(io: CommandIo, file: string): Promise<Buffer> {
  if (file === '-') return inputOf(io)
  const { size } = await stat(file)
  if (size > MAX_FILE_BYTES) throw tooLarge(file)
  return readFile(file)
}

async function inputOf({ terminal }: CommandIo): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of terminal.stdin) {
    const bytes = Buffer.from(chunk)
    size += bytes.length
    if (size > MAX_FILE_BYTES) break
    chunks.push(bytes)
  }
  if (size > MAX_FILE_BYTES) throw tooLarge('standard input')
  return Buffer.concat(chunks)
}

function tooLarge(what: string): VestryError {
  return new VestryError('REQUEST_TOO_LARGE', `${what} is larger than ${MAX_FILE_BYTES} bytes`, {
    hint: TOO_LARGE,
  })
}

/** The same path is the same item; what has none is named by what it says. */
function idOf(file: string, bytes: Buffer): string {
  if (file === '-') return `stdin-${createHash('sha256').update(bytes).digest('hex').slice(0, 16)}`
  return file.replace(/^(?:\.{0,2}\/)+/, '').slice(-256)
}

async function search(io: CommandIo, query: string, options: FindOptions): Promise<void> {
  const reply = await io.call('knowledge.search', {
    body: {
      query,
      ...asked(options),
      limit: numberOf('--limit', options.limit),
      similarity_threshold: numberOf('--threshold', options.threshold),
    },
  })
  io.print(reply, (paint) =>
    table(
      [
        { title: 'SCORE', value: (row) => Number(row['similarity_score']).toFixed(2) },
        { title: 'ITEM', value: (row) => String(rowOf(row, 'item')['id']) },
        { title: 'PASSAGE', value: (row) => firstWords(row['matched_text']) },
      ],
      rowsOf(reply, 'results'),
      { paint, empty: 'nothing found; try --threshold 0' },
    ),
  )
}

async function context(io: CommandIo, query: string, options: FindOptions): Promise<void> {
  const body = { query, ...asked(options), max_context_items: numberOf('--limit', options.limit) }
  const reply = await io.call('knowledge.context', { body })
  const sources = reply['sources'] as readonly string[] // as the daemon answers
  const texts = reply['context_items'] as readonly string[]
  for (const warning of (reply['warnings'] ?? []) as readonly string[])
    io.note(`warning: ${safeText(warning)}`)
  io.print(reply, () =>
    texts.map((text, at) => `[${safeText(sources[at] ?? '')}]\n${safeLines(text)}\n`).join('\n'),
  )
}

async function list(io: CommandIo, options: FindOptions): Promise<void> {
  const reply = await io.call('knowledge.list', {
    ...(options.agent !== undefined && { agent_id: options.agent }),
    ...(options.source !== undefined && { source_type: options.source }),
    limit: numberOf('--limit', options.limit),
  })
  const meta = (name: string) => (row: Row) => rowOf(row, 'metadata')[name]
  io.print(reply, (paint) =>
    table(
      [
        { title: 'ITEM', value: 'id' },
        { title: 'KIND', value: meta('source_type') },
        { title: 'AGENT', value: (row) => meta('agent_id')(row) ?? 'shared' },
        { title: 'LABELS', value: (row) => String(meta('labels')(row) ?? '') },
        { title: 'TIME', value: meta('timestamp') },
      ],
      rowsOf(reply, 'items'),
      { paint, empty: 'no knowledge; add some with "vestry knowledge add FILE"' },
    ),
  )
}

function numberOf(option: string, text = ''): number {
  if (/^\d+(?:\.\d+)?$/.test(text)) return Number(text)
  throw new VestryError('USAGE', `${option} takes a number, not "${text}"`, { hint: 'See --help' })
}

function asked({ agent, source }: FindOptions): Row {
  return {
    ...(agent !== undefined && { agent_id: agent }),
    ...(source !== undefined && { source_types: [source] }),
  }
}

const SHOWN_CHARS = 72

function firstWords(text: unknown): string {
  const line = safeText(String(text)).replace(/\s+/g, ' ')
  return line.length > SHOWN_CHARS ? `${line.slice(0, SHOWN_CHARS)}…` : line
}
