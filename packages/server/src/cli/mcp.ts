/** `vestry mcp …`: MCP servers, what they offer, and whether they run. */
import { setTimeout as sleep } from 'node:timers/promises'
import { VestryError } from '@vestry/contract/errors'
import type { Command } from 'commander'
import { counted, type Row, rowsOf } from './cell.ts'
import type { Run } from './command.ts'
import type { CommandIo } from './command-io.ts'
import { mcpAddCommand } from './mcp-add.ts'
import { mcpCallCommands } from './mcp-call.ts'
import { mcpServeCommand } from './mcp-serve.ts'
import type { Style } from './style.ts'
import { facts, table } from './table.ts'
import { safeLines, safeText } from './terminal-text.ts'

const LOOK_MS = 500
/** Longer than any server may take to be ready. */
const MAX_WAIT_MS = 630_000

/** @returns The group, for commands of other files. */
export function mcpCommands(program: Command, run: Run): Command {
  const mcp = program.command('mcp').description('MCP servers and their tools')
  mcpAddCommand(mcp, run)

  mcp
    .command('list')
    .description('list servers and how they are')
    .action(
      run(async (io) => {
        const reply = await io.call('mcp.list')
        io.print(reply, (paint) =>
          table(
            [
              { title: 'SERVER', value: 'server_name' },
              { title: 'STATUS', value: 'status', style: statusStyle },
              { title: 'TRANSPORT', value: 'transport' },
              { title: 'PID', value: 'pid', align: 'right' },
              { title: 'TOOLS', value: 'tools_count', align: 'right' },
              { title: 'RESOURCES', value: 'resources_count', align: 'right' },
              { title: 'SINCE', value: 'connected_at' },
              { title: 'LAST ERROR', value: (row) => firstLine(row['last_error']) },
            ],
            rowsOf(reply, 'servers'),
            { paint, empty: 'no MCP servers; add one with "vestry mcp add NAME -- COMMAND"' },
          ),
        )
      }),
    )

  mcp
    .command('show')
    .description('show a server: its state and its configuration, without values of variables')
    .argument('<server>', 'the server')
    .action(
      run(async (io, server: string) => {
        const { last_error: lastError, ...reply } = await io.call('mcp.show', { server })
        io.print({ ...reply, last_error: lastError ?? null }, (paint) => {
          const shown = facts(
            Object.entries(reply).filter(([, value]) => value !== null),
            paint,
          )
          return typeof lastError === 'string'
            ? `${shown}${paint('red', safeLines(lastError))}\n`
            : shown
        })
      }),
    )

  mcp
    .command('connect')
    .description('start a server, or reach it, and list what it offers')
    .argument('<server>', 'the server')
    .action(run(connect))

  mcp
    .command('disconnect')
    .description('end a server and everything it has started')
    .argument('<server>', 'the server')
    .action(
      run(async (io, server: string) => {
        const reply = await io.call('mcp.disconnect', { server }, `ending ${server}`)
        io.print(reply, `disconnected ${safeText(server)}`)
      }),
    )

  mcp
    .command('rm')
    .description('disconnect a server and forget it')
    .argument('<server>', 'the server')
    .action(
      run(async (io, server: string) => {
        const reply = await io.call('mcp.rm', { server }, `ending ${server}`)
        io.print(reply, `removed ${safeText(server)}`)
      }),
    )

  mcp
    .command('tools')
    .description('list the tools of connected servers')
    .argument('[server]', 'of this server only')
    .action(
      run(async (io, server: string | undefined) => {
        const reply = await io.call('mcp.tools', { server })
        io.print(reply, (paint) =>
          table(
            [
              { title: 'SERVER', value: 'server_name' },
              { title: 'TOOL', value: 'name' },
              {
                title: 'VERIFIED',
                value: (row) => (row['verified'] === true ? 'yes' : row['verification_reason']),
                style: (row) => (row['verified'] === true ? 'green' : 'yellow'),
              },
              { title: 'DIGEST', value: (row) => String(row['verification_hash']).slice(0, 19) },
              { title: 'DESCRIPTION', value: (row) => firstLine(row['description']) },
            ],
            rowsOf(reply, 'tools'),
            { paint, empty: 'no tools; is a server connected? See "vestry mcp list"' },
          ),
        )
      }),
    )

  mcp
    .command('resources')
    .description('list the resources of connected servers')
    .argument('[server]', 'of this server only')
    .action(
      run(async (io, server: string | undefined) => {
        const reply = await io.call('mcp.resources', { server })
        io.print(reply, (paint) =>
          table(
            [
              { title: 'SERVER', value: 'server_name' },
              { title: 'URI', value: 'uri' },
              { title: 'NAME', value: 'name' },
              { title: 'TYPE', value: 'mime_type' },
              { title: 'TEMPLATE', value: (row) => row['is_template'] === true },
            ],
            rowsOf(reply, 'resources'),
            { paint, empty: 'no resources; is a server connected? See "vestry mcp list"' },
          ),
        )
      }),
    )

  mcp
    .command('logs')
    .description('show what a server wrote to its standard error')
    .argument('<server>', 'the server')
    .action(
      run(async (io, server: string) => {
        const reply = await io.call('mcp.logs', { server })
        io.print(reply, safeLines(String(reply['stderr'])))
      }),
    )
  mcpCallCommands(mcp, run)
  mcpServeCommand(mcp, run)
  return mcp
}

async function connect(io: CommandIo, server: string): Promise<void> {
  const doing = `connecting ${server}`
  let reply = await io.call('mcp.connect', { server }, doing)
  const endsAtMs = performance.now() + MAX_WAIT_MS
  while (reply['status'] === 'connecting' && performance.now() < endsAtMs) {
    await sleep(LOOK_MS, undefined, { signal: io.signal })
    reply = await io.call('mcp.show', { server }, doing)
  }
  if (reply['status'] !== 'connected') {
    throw new VestryError('MCP_PROTOCOL_ERROR', firstLine(reply['last_error']) || 'not connected', {
      hint: `See: vestry mcp logs ${server}`,
    })
  }
  const tools = counted(reply['tools_count'], 'tool')
  const resources = counted(reply['resources_count'], 'resource')
  io.print(reply, `connected ${safeText(server)}: ${tools}, ${resources}`)
}

function statusStyle({ status }: Row): Style | undefined {
  return STATUS_STYLES[String(status)]
}

const STATUS_STYLES: Readonly<Record<string, Style>> = {
  connected: 'green',
  connecting: 'yellow',
  error: 'red',
}

function firstLine(text: unknown): string {
  return typeof text === 'string' ? (text.split('\n', 1)[0] ?? '') : ''
}
