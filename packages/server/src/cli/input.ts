/** `vestry input …`: ports where requests of others start agents. */
import { VestryError } from '@vestry/contract/errors'
import type { Command } from 'commander'
import { readYaml } from '../json/yaml.ts'
import { type Row, rowsOf } from './cell.ts'
import type { Run } from './command.ts'
import type { CommandIo } from './command-io.ts'
import { EXIT } from './exit-code.ts'
import type { Style } from './style.ts'
import { facts, table } from './table.ts'
import { safeText } from './terminal-text.ts'
import { readTextFile } from './text-file.ts'

const MAX_FILE_BYTES = 65_536

export function inputCommands(program: Command, run: Run): void {
  const input = program.command('input').description('HTTP inputs: ports that start agents')

  input
    .command('list')
    .description('list inputs and whether they listen')
    .action(
      run(async (io) => {
        const reply = await io.call('input.list')
        io.print(reply, (paint) =>
          table(
            [
              { title: 'INPUT', value: 'server_id' },
              { title: 'STATUS', value: 'status', style: statusStyle },
              { title: 'LISTENS AT', value: listensAt },
              { title: 'AGENT', value: (row) => configOf(row)['agent_id'] },
              { title: 'REQUESTS', value: 'requests_processed', align: 'right' },
              { title: 'LAST ERROR', value: 'last_error' },
            ],
            rowsOf(reply, 'inputs'),
            { paint, empty: 'no HTTP inputs; add one with "vestry input add FILE"' },
          ),
        )
      }),
    )

  input
    .command('show')
    .description('show an input: its configuration and what it has counted')
    .argument('<input>', 'its id')
    .action(
      run(async (io, id: string) => {
        const reply = await io.call('input.show', { server_id: id })
        io.print(reply, (paint) => {
          const { config: _, metrics, ...rest } = reply as Row
          const shown = { ...rest, ...configOf(reply), ...(metrics as Row) }
          return facts(
            Object.entries(shown).map(([name, value]) => [name, plain(value)] as const),
            paint,
          )
        })
      }),
    )

  input
    .command('add')
    .description('add an input described in a YAML or JSON file, and start it')
    .argument('<file>', 'its configuration: agent_id, port, path, auth_header …')
    .action(
      run(async (io, file: string) => {
        const reply = await io.call('input.add', { config: await readConfig(file) })
        print(io, reply, 'added')
      }),
    )

  input
    .command('update')
    .description('give an input another configuration; its port moves only if it has to')
    .argument('<input>', 'its id')
    .argument('<file>', 'the whole new configuration')
    .action(
      run(async (io, id: string, file: string) => {
        const config = await readConfig(file)
        print(io, await io.call('input.update', { server_id: id, config }), 'updated')
      }),
    )

  for (const [name, description, done] of [
    ['start', 'listen again', 'started'],
    ['stop', 'stop listening, also after a restart', 'stopped'],
    ['rm', 'stop listening and forget the input', 'removed'],
  ] as const) {
    input
      .command(name)
      .description(description)
      .argument('<input>', 'its id')
      .action(
        run(async (io, id: string) => {
          const reply = await io.call(`input.${name}`, { server_id: id })
          io.print(reply, `${done} ${safeText(id)}`)
        }),
      )
  }

  input
    .command('trigger')
    .description('send an input a payload as if it came over the network')
    .argument('<input>', 'its id')
    .option('--payload <json>', 'a JSON object (default: {})')
    .option('--payload-file <file>', 'the same from a file')
    .action(run(trigger))
}

async function trigger(
  io: CommandIo,
  id: string,
  options: { payload?: string; payloadFile?: string },
): Promise<void> {
  if (options.payload !== undefined && options.payloadFile !== undefined)
    throw new VestryError('USAGE', 'There is more than one payload', {
      hint: 'Use --payload or --payload-file.',
    })
  const text =
    options.payloadFile === undefined
      ? (options.payload ?? '{}')
      : (await readFileOf(options.payloadFile)).text
  const reply = await io.call('input.trigger', { server_id: id, payload: objectOf(text) })
  io.print(reply, (paint) =>
    facts(
      Object.entries(reply).map(([name, value]) => [name, plain(value)] as const),
      paint,
    ),
  )
  if (reply['status'] === 'failed') io.exitCode = EXIT.failed
}

function print(io: CommandIo, reply: Row, done: string): void {
  const warnings = (reply['warnings'] as string[] | undefined) ?? []
  const lines = [
    `${done} ${safeText(String(reply['server_id']))}, ${safeText(String(listensAt(reply) ?? reply['status']))}`,
    ...warnings.map((line) => `warning: ${safeText(line)}`),
  ]
  io.print(reply, lines.join('\n'))
}

async function readConfig(file: string): Promise<Row> {
  const { name, text } = await readFileOf(file)
  let value: unknown
  try {
    value = readYaml(text)
  } catch (cause) {
    throw new VestryError('INVALID_PARAMS', `${name}: ${(cause as Error).message}`, { cause })
  }
  if (isObject(value)) return value
  throw new VestryError('INVALID_PARAMS', `${name} must hold settings such as "agent_id: scout"`)
}

function readFileOf(file: string): Promise<{ name: string; text: string }> {
  return readTextFile(file, {
    maxBytes: MAX_FILE_BYTES,
    invalid: 'INVALID_PARAMS',
    hint: 'Check the path.',
  })
}

function objectOf(text: string): Row {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new VestryError('USAGE', 'The payload is not JSON', { cause })
  }
  if (isObject(value)) return value
  throw new VestryError('USAGE', 'The payload must be a JSON object')
}

function listensAt(row: Row): string | undefined {
  const { bound_port: port, effective_bind_address: address } = row
  if (port === null || port === undefined) return undefined
  return `http://${String(address)}:${String(port)}${String(configOf(row)['path'])}`
}

function configOf(row: Row): Row {
  return isObject(row['config']) ? row['config'] : {}
}

function plain(value: unknown): unknown {
  return typeof value === 'object' && value !== null ? JSON.stringify(value) : value
}

function isObject(value: unknown): value is Row {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function statusStyle(row: Row): Style | undefined {
  if (row['status'] === 'running') return 'green'
  return row['status'] === 'error' ? 'red' : 'dim'
}
