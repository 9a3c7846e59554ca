/** `vestry mcp serve`: the MCP server that clients start as a program. Speaks for one key, on standard input and output. */
import { once } from 'node:events'
import { readFileSync, statSync } from 'node:fs'
import { VestryError } from '@vestry/contract/errors'
import type { Command } from 'commander'
import type { Run } from './command.ts'
import type { CommandIo } from './command-io.ts'
import { safeLines } from './terminal-text.ts'

interface ServeOptions {
  url?: string
  keyFile: string
}

const MAX_KEY_BYTES = 16_384

export function mcpServeCommand(mcp: Command, run: Run): void {
  mcp
    .command('serve')
    .description('serve the tools that a key may call to an MCP client that starts programs')
    .requiredOption('--key-file <file>', 'API key of the agent, or a gateway token')
    .option('--url <address>', 'of the daemon (default: the one that runs in this home)')
    .action(run(serve))
}

async function serve(io: CommandIo, options: ServeOptions): Promise<void> {
  const key = keyIn(options.keyFile)
  const url = endpointOf(options.url ?? runningAt(io))
  const { bridge } = await import('../mcp/serve/stdio-bridge.ts')
  const { stdin, stdout, stderr } = io.terminal
  await bridge({
    url,
    key,
    input: stdin,
    write: async (line) => {
      if (!stdout.write(line)) await once(stdout, 'drain', { signal: io.signal })
    },
    // Also with --quiet: whoever started this program shows it where a person looks for what went wrong.
    note: (text) => void stderr.write(`${safeLines(text)}\n`),
    signal: io.signal,
  })
}

/** @throws VestryError USAGE */
function endpointOf(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.username !== '') {
    throw new VestryError('USAGE', '--url expects an address such as http://127.0.0.1:8080')
  }
  if (url.pathname === '/' || url.pathname === '') url.pathname = '/mcp'
  return url
}

/** @throws VestryError DAEMON_UNREACHABLE */
function runningAt(io: CommandIo): string {
  try {
    const ready: unknown = JSON.parse(readFileSync(io.home.ready, 'utf8'))
    const http: unknown = Reflect.get(Object(ready), 'http')
    if (typeof http === 'string') return http
  } catch {
    // Said below.
  }
  throw new VestryError('DAEMON_UNREACHABLE', `No daemon runs in ${io.home.dir}`, {
    hint: 'Start it with "vestry up", or name one with --url',
  })
}

/** @throws VestryError NOT_FOUND, INVALID_PARAMS; never with what is in the file. */
function keyIn(file: string): string {
  let text: string
  try {
    if (statSync(file).size > MAX_KEY_BYTES)
      throw new VestryError('INVALID_PARAMS', `${file} is too large for a key`)
    text = readFileSync(file, 'utf8').trim()
  } catch (cause) {
    if (cause instanceof VestryError) throw cause
    throw new VestryError('NOT_FOUND', `${file} cannot be read`, {
      hint: 'Make a key with "vestry key add --agent AGENT" and keep it in a file',
      cause,
    })
  }
  if (/^[\x21-\x7e]+$/.test(text)) return text
  throw new VestryError('INVALID_PARAMS', `${file} holds no key`)
}
