/** `vestry mcp call | accept`: a tool called through the stations, and a changed definition that is accepted. */
import { VestryError } from '@vestry/contract/errors'
import type { Command } from 'commander'
import { cellText, counted, type Row, rowOf, rowsOf } from './cell.ts'
import type { Run } from './command.ts'
import type { CommandIo } from './command-io.ts'
import { EXIT } from './exit-code.ts'
import { seconds } from './option-value.ts'
import { safeLines, safeText } from './terminal-text.ts'
import { readTextFile } from './text-file.ts'

interface CallOptions {
  args?: string
  argsFile?: string
  reason?: string
  timeout?: number
}

const MAX_FILE_BYTES = 4_194_304
const MAX_TIMEOUT_SECONDS = 600

export function mcpCallCommands(mcp: Command, run: Run): void {
  mcp
    .command('call')
    .description('call a tool of a connected server, as policy permits you')
    .argument('<server>', 'the server')
    .argument('<tool>', 'the tool')
    .option('--args <json>', 'its arguments, a JSON object')
    .option('--args-file <file>', 'the same from a file')
    .option('--reason <text>', 'what for; policy may ask for it')
    .option(
      '--timeout <time>',
      'how long it may take, e.g. 90s (default: that of the server)',
      seconds('--timeout', MAX_TIMEOUT_SECONDS),
    )
    .action(run(call))

  mcp
    .command('accept')
    .description('accept the definitions that a server lists now; review is not replaced by it')
    .argument('<server>', 'the server')
    .argument('[tool]', 'this tool only')
    .action(
      run(async (io, server: string, tool: string | undefined) => {
        const reply = await io.call('mcp.accept', { server, tool })
        const accepted = Object.keys(rowOf(reply, 'accepted')).length
        io.print(reply, `accepted ${counted(accepted, 'definition')} of ${safeText(server)}`)
      }),
    )
}

async function call(
  io: CommandIo,
  server: string,
  tool: string,
  options: CallOptions,
): Promise<void> {
  const args = await argumentsOf(options)
  const reply = await io.call(
    'mcp.call',
    {
      server,
      tool,
      arguments: args,
      ...(options.reason !== undefined && { reason: options.reason }),
      ...(options.timeout !== undefined && { timeout_seconds: options.timeout }),
    },
    `calling ${tool}`,
  )
  if (reply['is_error'] === true) io.exitCode = EXIT.failed
  io.print(reply, () => resultText(reply))
}

/** @throws VestryError USAGE, NOT_FOUND */
async function argumentsOf({ args, argsFile }: CallOptions): Promise<Row> {
  if (args !== undefined && argsFile !== undefined)
    throw new VestryError('USAGE', 'give --args or --args-file, not both')
  if (args === undefined && argsFile === undefined) return {}
  const text =
    args ??
    (
      await readTextFile(argsFile ?? '', {
        maxBytes: MAX_FILE_BYTES,
        invalid: 'INVALID_PARAMS',
        hint: 'Check the path',
      })
    ).text
  const what = args === undefined ? String(argsFile) : '--args'
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new VestryError('USAGE', `${what} is not valid JSON`, {
      hint: 'For example: --args \'{"path":"/data"}\'',
    })
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Row
  throw new VestryError('USAGE', `${what} must be a JSON object`)
}

/** Texts as they are; of what is no text, what it is. */
function resultText(reply: Row): string {
  const parts = rowsOf(reply, 'content').map((part) =>
    part['type'] === 'text' ? safeLines(String(part['text'])) : `[${cellText(part['type'])}]`,
  )
  const structured = reply['structured_content']
  if (parts.length === 0 && structured !== null && structured !== undefined)
    parts.push(safeLines(JSON.stringify(structured, null, 2)))
  return parts.join('\n')
}
