/** `vestry secret backend …`: which back end keeps the secrets, and moving them to another one. */
import { setTimeout as sleep } from 'node:timers/promises'
import { VestryError } from '@vestry/contract/errors'
import type { Command } from 'commander'
import { isRow, type Row, rowOf } from './cell.ts'
import type { Run } from './command.ts'
import type { CommandIo } from './command-io.ts'
import { EXIT } from './exit-code.ts'
import { oneOf } from './option-value.ts'
import { facts } from './table.ts'
import { readTextFile } from './text-file.ts'

const EXTRAS = ['refuse', 'keep', 'delete'] as const
const MAX_FILE_BYTES = 65_536
const FIRST_POLL_MS = 100
const LAST_POLL_MS = 2_000

interface SetOptions {
  migrate?: boolean
  extras?: (typeof EXTRAS)[number]
}

export function backendCommands(secret: Command, run: Run): void {
  const backend = secret.command('backend').description('where secrets are kept')

  backend
    .command('show')
    .description('show which back end keeps the secrets, without its credentials')
    .option('--check', 'ask it whether it is there')
    .action(
      run(async (io, { check }: { check?: boolean }) => {
        const reply = await io.call('secret.backend', { check })
        printBackend(io, reply)
      }),
    )

  backend
    .command('set')
    .description('try a back end, and keep secrets there from now on')
    .argument('<file>', 'YAML or JSON: backend_type and what belongs to it; - for standard input')
    .option('--migrate', 'copy all secrets there first')
    .option(
      '--extras <what>',
      `with --migrate, for secrets that only the new one has: ${EXTRAS.join(', ')} (default: refuse)`,
      oneOf('--extras', EXTRAS),
    )
    .action(
      run(async (io, file: string, { migrate = false, extras }: SetOptions) => {
        if (extras !== undefined && !migrate)
          throw new VestryError('USAGE', '--extras goes with --migrate')
        const config = await readConfig(io, file)
        const reply = await io.call('secret.backend_set', { config, migrate, extras }, 'trying it')
        if (!isRow(reply['migration'])) return printBackend(io, reply)
        const done = await followed(io)
        const { status } = rowOf(done, 'migration')
        if (status !== 'done') io.exitCode = EXIT.failed
        printBackend(io, done)
      }),
    )
}

/** Until the move has ended; Ctrl-C leaves it to the daemon. */
function followed(io: CommandIo): Promise<Row> {
  return io.admin(async (admin, busy) => {
    for (let pauseMs = FIRST_POLL_MS; ; pauseMs = Math.min(LAST_POLL_MS, pauseMs * 2)) {
      const reply = await admin.call('admin.secret.backend', {}, { signal: io.signal })
      const { status, copied, total } = rowOf(reply, 'migration')
      if (status !== 'copying') return reply
      busy.say(`copied ${String(copied)} of ${String(total)} secrets`)
      await sleep(pauseMs, undefined, { signal: io.signal })
    }
  }, 'copying secrets')
}

function printBackend(io: CommandIo, reply: Row): void {
  io.print(reply, (paint) => {
    const migration = rowOf(reply, 'migration')
    const { status, error, ...moved } = migration
    const told = status === undefined || status === 'idle' ? [] : [['migration', status] as const]
    return facts(
      [
        ['backend', reply['backend_type']],
        ['configured', reply['configured_at'] ?? 'never: the default'],
        ...Object.entries(rowOf(reply, 'details')),
        ...Object.entries(rowOf(reply, 'checked')),
        ...told,
        ...Object.entries(moved).filter(([, value]) => value !== null),
        ...(isRow(error)
          ? [['error', `${String(error['code'])}: ${String(error['message'])}`] as const]
          : []),
      ],
      paint,
    )
  })
}

async function readConfig(io: CommandIo, file: string): Promise<Row> {
  const text = file === '-' ? await standardInput(io) : (await readTextFile(file, RULES)).text
  const { readYaml } = await import('../json/yaml.ts')
  let value: unknown
  try {
    value = readYaml(text)
  } catch (cause) {
    // Its message may quote the line, which may hold a key.
    throw new VestryError('INVALID_PARAMS', `${file} is neither YAML nor JSON`, { cause })
  }
  if (isRow(value)) return value
  throw new VestryError('INVALID_PARAMS', `${file} must be an object with backend_type`)
}

const RULES = {
  maxBytes: MAX_FILE_BYTES,
  invalid: 'INVALID_PARAMS',
  hint: 'Check the path',
} as const

async function standardInput(io: CommandIo): Promise<string> {
  using given = await io.secret(
    { file: '-' },
    { option: 'config', question: '', isNew: false, maxBytes: MAX_FILE_BYTES },
  )
  return Buffer.from(given.secret.bytes).toString('utf8')
}
