/** `vestry secret …`: secrets of agents, in whichever back end keeps them. Values never come from the command line. */
import { isUtf8 } from 'node:buffer'
import { VestryError } from '@vestry/contract/errors'
import { type Command, Option } from 'commander'
import { base64Member } from './base64-member.ts'
import { type Row, rowsOf } from './cell.ts'
import type { Run } from './command.ts'
import type { CommandIo } from './command-io.ts'
import { declined } from './cred.ts'
import { notATerminal } from './key.ts'
import { integer } from './option-value.ts'
import { backendCommands } from './secret-backend.ts'
import { hasSource, type SecretSource } from './secret-input.ts'
import { facts, table } from './table.ts'
import { safeLines, safeText } from './terminal-text.ts'

const MAX_VALUE_BYTES = 65_536
const MAX_FD = 1_023

interface SetOptions {
  value?: string
  valueStdin?: boolean
  valueFile?: string
  valueFd?: number
  raw?: boolean
  description?: string
  expectedVersion?: number
}

interface GetOptions {
  reveal?: boolean
  version?: number
  forceStdout?: boolean
}

export function secretCommands(program: Command, run: Run): void {
  const secret = program.command('secret').description('secrets of agents, and where they are kept')

  secret
    .command('set')
    .description('store a secret of an agent, or its next version')
    .argument('<agent>', 'whose it is: an agent, or mcp:SERVER')
    .argument('<name>', 'what it is called, e.g. db/password')
    .option('--value-stdin', 'read the value from standard input')
    .option('--value-file <file>', 'read the value from a file')
    .option(
      '--value-fd <n>',
      'read the value from an open descriptor',
      integer('--value-fd', 0, MAX_FD),
    )
    .option('--raw', 'keep a line end at the end of the value')
    .option('--description <text>', 'what it is for')
    .option(
      '--expected-version <n>',
      'fail unless this is the current version; 0: it must not exist',
      integer('--expected-version', 0, 2 ** 31),
    )
    .addOption(new Option('--value [secret]').hideHelp())
    .action(
      run((io, agent: string, name: string, options: SetOptions) => set(io, agent, name, options)),
    )

  secret
    .command('get')
    .description(
      'show what is known about a secret; with --reveal its value, and the record says so',
    )
    .argument('<agent>', 'whose it is')
    .argument('<name>', 'the secret')
    .option('--reveal', 'show the value')
    .option('--version <n>', 'with --reveal: an older version', integer('--version', 1, 2 ** 31))
    .option('--force-stdout', 'with --reveal: even when stdout is no terminal')
    .action(
      run((io, agent: string, name: string, options: GetOptions) => get(io, agent, name, options)),
    )

  secret
    .command('list')
    .description('list names of secrets')
    .argument('[agent]', 'only those of this agent')
    .action(
      run(async (io, agent: string | undefined) => {
        const reply = await io.call('secret.list', { agent })
        io.print(reply, (paint) =>
          table(
            [
              { title: 'AGENT', value: 'agent_id' },
              { title: 'NAME', value: 'secret_name' },
            ],
            rowsOf(reply, 'secrets'),
            { paint, empty: 'no secrets; store one with "vestry secret set AGENT NAME"' },
          ),
        )
      }),
    )

  secret
    .command('rm')
    .description('delete a secret with all its versions, for good')
    .argument('<agent>', 'whose it is')
    .argument('<name>', 'the secret')
    .action(
      run(async (io, agent: string, name: string) => {
        const what = `${agent} ${name}`
        if (!(await io.confirm(`Delete the secret ${what}? This cannot be undone.`)))
          throw declined()
        const reply = await io.call('secret.rm', { agent, name })
        io.print(reply, `deleted ${safeText(what)}`)
      }),
    )

  backendCommands(secret, run)
}

async function set(io: CommandIo, agent: string, name: string, options: SetOptions): Promise<void> {
  if (options.value !== undefined) {
    throw new VestryError('USAGE', 'values are never taken from the command line', {
      hint: 'Other users and the shell history can read it there. Use --value-stdin, --value-file or --value-fd',
    })
  }
  const source: SecretSource = {
    stdin: options.valueStdin,
    file: options.valueFile,
    fd: options.valueFd,
  }
  // Nobody types a secret for a daemon that is not there.
  if (!hasSource(source)) await io.anonymous((admin) => admin.call('ping'))
  using value = await io.secret(source, {
    option: 'value',
    question: `Value of ${agent} ${name}`,
    isNew: false,
    maxBytes: MAX_VALUE_BYTES,
    raw: options.raw,
  })
  if (!isUtf8(value.secret.bytes)) {
    throw new VestryError('INVALID_PARAMS', 'the value is not UTF-8 text', {
      hint: 'Store base64 of it, or keep it as a credential: vestry cred add',
    })
  }
  if (value.trimmed) io.note('One line end was taken off the value; --raw keeps it.')
  if (value.secret.length === 0) io.warn('the value is empty')
  const reply = await io.call('secret.put', {
    agent,
    name,
    value_base64: base64Member(value.secret),
    description: options.description,
    expected_version: options.expectedVersion,
  })
  printFacts(io, reply)
}

async function get(io: CommandIo, agent: string, name: string, options: GetOptions): Promise<void> {
  if (options.reveal !== true) {
    if (options.version !== undefined || options.forceStdout === true)
      throw new VestryError('USAGE', '--version and --force-stdout go with --reveal')
    printFacts(io, await io.call('secret.show', { agent, name }))
    return
  }
  if (!io.mayShowSecret(options.forceStdout)) throw notATerminal()
  const reply = await io.call('secret.reveal', { agent, name, version: options.version })
  const bytes = Buffer.from(String(reply['value']), 'hex')
  const value = bytes.toString('utf8')
  bytes.fill(0)
  // On a terminal its own controls must not run; elsewhere the value is wanted byte for byte.
  const shown = io.terminal.stdout.isTTY === true ? safeLines(value) : value
  io.print({ ...reply, value }, shown)
}

function printFacts(io: CommandIo, reply: Row): void {
  io.print(reply, (paint) =>
    facts(
      Object.entries(reply).filter(([, value]) => value !== null),
      paint,
    ),
  )
}
