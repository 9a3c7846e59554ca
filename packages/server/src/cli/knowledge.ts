/** `vestry knowledge …`: texts that agents may look up, and what they find. */
import { createHash } from 'node:crypto'
import { lstat, readdir, readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { VestryError } from '@vestry/contract/errors'
import type { Command } from 'commander'
import { counted, type Row, rowOf, rowsOf } from './cell.ts'
import type { Run } from './command.ts'
import type { CommandIo } from './command-io.ts'
import { facts, table } from './table.ts'
import { safeLines, safeText } from './terminal-text.ts'

const MAX_FILE_BYTES = 2_097_152
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
  for (const file of files) {
    const bytes = await bytesOf(io, file)
    const body = {
      id: options.id ?? idOf(file, bytes),
      name: file === '-' ? 'stdin.md' : basename(file),
      base64: bytes.toString('base64'),
      source_type: options.source,
      labels: options.label ?? [],
      ...(options.agent !== undefined && { agent_id: options.agent }),
    }
    added.push(await io.call('knowledge.add', { body }, `adding ${safeText(file)}`))
  }
  const chunks = added.reduce((sum, one) => sum + Number(one['chunks']), 0)
  io.print(
    { items: added },
    `added ${counted(added.length, 'item')} of ${counted(chunks, 'passage')}`,
  )
}

/** Of a directory all files in it; what a link leads to is not part of it. @throws VestryError NOT_FOUND */
async function filesOf(path: string): Promise<string[]> {
  if (path === '-') return [path]
  const found = await lstat(path).catch((cause: unknown) => {
    throw new VestryError('NOT_FOUND', `${path} cannot be read`, { hint: 'Check the path', cause })
  })
  if (found.isFile()) return [path]
  if (!found.isDirectory())
    throw new VestryError('INVALID_PARAMS', `${path} is neither a file nor a directory`, {
      hint: 'Links are not followed: give what they lead to',
    })
  const entries = await readdir(path, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile() && !entry.name.startsWith('.'))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
}

async function bytesOf(io: CommandIo, file: string): Promise<Buffer> {
  const bytes = file === '-' ? await inputOf(io) : await readFile(file)
  if (bytes.length > MAX_FILE_BYTES)
    throw new VestryError('INVALID_PARAMS', `${file} is larger than ${MAX_FILE_BYTES} bytes`)
  return bytes
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
  if (size > MAX_FILE_BYTES)
    throw new VestryError('INVALID_PARAMS', `standard input is larger than ${MAX_FILE_BYTES} bytes`)
  return Buffer.concat(chunks)
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
      limit: Number(options.limit),
      similarity_threshold: Number(options.threshold),
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
  const body = { query, ...asked(options), max_context_items: Number(options.limit) }
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
    limit: Number(options.limit),
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
