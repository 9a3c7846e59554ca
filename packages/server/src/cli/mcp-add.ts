/** `vestry mcp add`: which program or address an MCP server is, and what it is given. Values that are secret are named. */
import { VestryError } from '@vestry/contract/errors'
import type { Command } from 'commander'
import type { Run } from './command.ts'
import type { CommandIo } from './command-io.ts'
import { list, oneOf, pairs, seconds } from './option-value.ts'
import { safeText } from './terminal-text.ts'
import { readTextFile } from './text-file.ts'

interface AddOptions {
  url?: string
  transport?: string
  env?: Record<string, string>
  envFrom?: string
  header?: readonly string[]
  cwd?: string
  timeout?: number
  autoConnect: boolean
  restart?: boolean
  publicKeyUrl?: string
  replace?: boolean
}

const MAX_FILE_BYTES = 65_536
const MAX_TIMEOUT_SECONDS = 600

export function mcpAddCommand(mcp: Command, run: Run): void {
  mcp
    .command('add')
    .description('add an MCP server: a program after --, or an address with --url')
    .argument('<name>', 'name of the server')
    .argument('[command...]', 'the program and its arguments, after --')
    .option('--url <address>', 'a remote server, over HTTP')
    .option(
      '--transport <kind>',
      'of a remote server: streamable_http (which finds out about sse by itself) or sse',
      oneOf('--transport', ['streamable_http', 'sse'] as const),
    )
    .option(
      '--env <name=value>',
      'variable of the program; secret://NAME or vault://PATH is filled in at its start; repeatable',
      pairs('--env'),
    )
    // Not --env-file: Node takes that for itself wherever it stands.
    .option('--env-from <file>', 'more of them, one NAME=VALUE a line')
    .option(
      '--header <name: value>',
      'header of a remote server, which may end in secret://NAME or vault://PATH; repeatable',
      list,
    )
    .option('--cwd <dir>', 'where the program starts: an absolute path')
    .option(
      '--timeout <time>',
      'to be ready, and for each call, e.g. 30s or 2m (default: 30s)',
      seconds('--timeout', MAX_TIMEOUT_SECONDS),
    )
    .option('--no-auto-connect', 'connect only when asked to, not at each start')
    .option('--restart', 'connect again, with growing pauses, when it ends by itself')
    .option('--public-key-url <address>', 'where the key of its provider is found')
    .option('--replace', 'replace the server of that name')
    .action(run(add))
}

async function add(
  io: CommandIo,
  name: string,
  command: string[],
  options: AddOptions,
): Promise<void> {
  if (command.length > 0 === (options.url !== undefined)) {
    throw new VestryError('USAGE', 'give either a program after --, or --url', {
      hint: 'For example: vestry mcp add files -- npx @modelcontextprotocol/server-filesystem /data',
    })
  }
  const fromFile = options.envFrom === undefined ? {} : await variablesIn(options.envFrom)
  const server = {
    name,
    ...(command.length > 0 && { command }),
    ...(options.url !== undefined && { url: options.url }),
    ...(options.transport !== undefined && { transport: options.transport }),
    ...(options.cwd !== undefined && { cwd: options.cwd }),
    ...(options.timeout !== undefined && { timeout_seconds: options.timeout }),
    ...(options.publicKeyUrl !== undefined && { provider_public_key_url: options.publicKeyUrl }),
    env: { ...fromFile, ...options.env },
    headers: headersOf(options.header ?? []),
    auto_connect: options.autoConnect,
    restart: options.restart ?? false,
  }
  const reply = await io.call('mcp.add', { server, replace: options.replace ?? false })
  io.print(reply, `${safeText(String(reply['status']))} ${safeText(name)}`)
  io.note(`Connect it: vestry mcp connect ${name}`)
}

/** @throws VestryError USAGE */
function headersOf(texts: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    texts.map((text) => {
      const [, name, value] = /^([^:\s]+):\s*(.*)$/s.exec(text) ?? []
      if (name !== undefined && value !== undefined) return [name, value]
      throw new VestryError('USAGE', '--header expects NAME: VALUE', {
        hint: 'For example: --header "Authorization: Bearer secret://crm-token"',
      })
    }),
  )
}

/** @throws VestryError INVALID_PARAMS naming the line, not what is in it. */
async function variablesIn(file: string): Promise<Record<string, string>> {
  const { text } = await readTextFile(file, {
    maxBytes: MAX_FILE_BYTES,
    invalid: 'INVALID_PARAMS',
    hint: 'Check the path',
  })
  const found: Record<string, string> = {}
  for (const [at, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '' || line.trimStart().startsWith('#')) continue
    const [, name, value] = /^\s*([A-Za-z_][A-Za-z0-9_]*)=(.*)$/.exec(line) ?? []
    if (name === undefined || value === undefined)
      throw new VestryError('INVALID_PARAMS', `${file}: line ${at + 1} is not NAME=VALUE`)
    found[name] = value
  }
  return found
}
