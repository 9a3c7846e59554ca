/** `vestry cred …`: secrets and what is known about them. Values never come from the command line. */
import { VestryError } from '@vestry/contract/errors'
import { type Command, Option } from 'commander'
import { base64Member } from './base64-member.ts'
import { type Row, rowOf, rowsOf } from './cell.ts'
import type { Run } from './command.ts'
import type { CommandIo } from './command-io.ts'
import { type FactOptions, factsOf, withFactOptions } from './cred-facts.ts'
import { CONFLICTS, FORMATS, type ImportOptions, importCredentials } from './cred-import.ts'
import { revealCredential } from './cred-reveal.ts'
import { integer, oneOf } from './option-value.ts'
import { type GivenSecret, hasSource, type SecretSource } from './secret-input.ts'
import { facts, table } from './table.ts'

const KINDS = ['aes256', 'hmac', 'ed25519', 'password'] as const
const MAX_VALUE_BYTES = 65_536
const SHORT_KEY_BYTES = 16
const MAX_FD = 1_023

interface ValueOptions {
  value?: string
  valueStdin?: boolean
  valueFile?: string
  valueFd?: number
  raw?: boolean
  generate?: string
}

type AddOptions = ValueOptions & FactOptions & { expectedVersion?: number }

export function credentialCommands(program: Command, run: Run): void {
  const cred = program.command('cred').description('credentials and their versions')

  withFactOptions(withValueOptions(cred.command('add')))
    .description('store a credential, or the next version of one')
    .argument('<path>', 'where, e.g. openai/api_key')
    .option(
      '--expected-version <n>',
      'fail unless this is the current version; 0: it must not exist',
      integer('--expected-version', 0, 2 ** 31),
    )
    .action(
      run(async (io, path: string, options: AddOptions) => {
        await put(io, path, options, async () => options.expectedVersion)
      }),
    )

  withFactOptions(withValueOptions(cred.command('rotate')))
    .description('store a new version of a credential that exists')
    .argument('<path>', 'the credential')
    .action(
      run(async (io, path: string, options: AddOptions) => {
        await put(io, path, options, async () => {
          const { version } = await io.call('cred.show', { path })
          return typeof version === 'number' ? version : undefined
        })
      }),
    )

  withFactOptions(cred.command('amend'))
    .description('change what is known about a credential, not its value')
    .argument('<path>', 'the credential')
    .option(
      '--min-decrypt-version <n>',
      'refuse to decrypt with older versions',
      integer('--min-decrypt-version', 1, 2 ** 31),
    )
    .action(
      run(async (io, path: string, options: FactOptions & { minDecryptVersion?: number }) => {
        const params = { ...factsOf(options), min_decrypt_version: options.minDecryptVersion }
        if (Object.values(params).every((value) => value === undefined)) {
          throw new VestryError('USAGE', 'nothing to change was given', { hint: 'See --help' })
        }
        printRecord(io, await io.call('cred.amend', { path, ...params }))
      }),
    )

  cred
    .command('import')
    .description('store many credentials from a file')
    .argument('<file>', 'the file; - for standard input')
    .option(
      '--format <format>',
      `one of ${FORMATS.join(', ')} (default: by the name)`,
      oneOf('--format', FORMATS),
    )
    .option('--prefix <path>', 'put all of them below this path')
    .option(
      '--on-conflict <what>',
      `for paths that exist: ${CONFLICTS.join(', ')} (default: fail)`,
      oneOf('--on-conflict', CONFLICTS),
    )
    .option('--dry-run', 'say what would happen, and do nothing')
    .action(run((io, file: string, options: ImportOptions) => importCredentials(io, file, options)))

  cred
    .command('list')
    .description('list credentials')
    .option('--prefix <path>', 'only below this path')
    .option('--tag <tag>', 'only with this tag')
    .action(
      run(async (io, { prefix, tag }: { prefix?: string; tag?: string }) => {
        const credentials = await listAll(io, { prefix, tag })
        io.print({ credentials }, (paint) =>
          table(
            [
              { title: 'PATH', value: 'path' },
              { title: 'TYPE', value: 'type' },
              { title: 'VERSION', value: 'version', align: 'right' },
              { title: 'HOSTS', value: (row) => rowOf(row, 'settings')['allowed_hosts'] },
              { title: 'TAGS', value: 'tags' },
              { title: 'UPDATED', value: 'updated_at' },
              { title: 'EXPIRES', value: 'expires_at' },
              { title: 'DELETED', value: 'deleted_at', style: () => 'dim' },
            ],
            credentials,
            { paint, empty: 'no credentials; add one with "vestry cred add PATH"' },
          ),
        )
      }),
    )

  cred
    .command('show')
    .description('show what is known about a credential, not its value')
    .argument('<path>', 'the credential')
    .action(run(async (io, path: string) => printRecord(io, await io.call('cred.show', { path }))))

  cred
    .command('rollback')
    .description('make an older version the newest')
    .argument('<path>', 'the credential')
    .requiredOption('--to <version>', 'the version to copy', integer('--to', 1, 2 ** 31))
    .action(
      run(async (io, path: string, { to }: { to: number }) =>
        printRecord(io, await io.call('cred.rollback', { path, version: to })),
      ),
    )

  for (const [verb, description] of [
    ['rm', 'delete a credential; it can be undeleted for 30 days'],
    ['undelete', 'bring a deleted credential back'],
  ] as const) {
    cred
      .command(verb)
      .description(description)
      .argument('<path>', 'the credential')
      .action(
        run(async (io, path: string) => printRecord(io, await io.call(`cred.${verb}`, { path }))),
      )
  }

  cred
    .command('destroy')
    .description('destroy a credential, or some versions of it, for ever')
    .argument('<path>', 'the credential')
    .option('--versions <list>', 'only these versions, e.g. 1,2', versionList)
    .action(
      run(async (io, path: string, { versions }: { versions?: number[] }) => {
        const what = versions === undefined ? path : `versions ${versions.join(', ')} of ${path}`
        if (!(await io.confirm(`Destroy ${what}? This cannot be undone.`))) throw declined()
        const reply = await io.call('cred.destroy', { path, versions })
        io.print(reply, (paint) => facts(Object.entries(reply), paint))
      }),
    )

  cred
    .command('reveal')
    .description('show the value of a credential; the record says so')
    .argument('<path>', 'the credential')
    .option('--version <n>', 'an older version', integer('--version', 1, 2 ** 31))
    .option('--force-stdout', 'even when stdout is no terminal')
    .action(
      run((io, path: string, options: { version?: number; forceStdout?: boolean }) =>
        revealCredential(io, path, options),
      ),
    )
}

export function declined(): VestryError {
  return new VestryError('USAGE', 'not confirmed', { hint: 'Nothing was changed' })
}

function withValueOptions(command: Command): Command {
  return command
    .option('--value-stdin', 'read the value from standard input')
    .option('--value-file <file>', 'read the value from a file')
    .option(
      '--value-fd <n>',
      'read the value from an open descriptor',
      integer('--value-fd', 0, MAX_FD),
    )
    .option('--raw', 'keep a line end at the end of the value')
    .option(
      '--generate <kind>',
      `let the daemon make one: ${KINDS.join(', ')}`,
      oneOf('--generate', KINDS),
    )
    .addOption(new Option('--value [secret]').hideHelp())
}

async function put(
  io: CommandIo,
  path: string,
  options: AddOptions,
  expectedVersion: () => Promise<number | undefined>,
): Promise<void> {
  if (options.value !== undefined) throw valueOnCommandLine()
  const known = factsOf(options)
  const source: SecretSource = {
    stdin: options.valueStdin,
    file: options.valueFile,
    fd: options.valueFd,
  }
  if (options.generate !== undefined) {
    if (Object.values(source).some((given) => given !== undefined)) {
      throw new VestryError(
        'USAGE',
        '--generate excludes --value-stdin, --value-file and --value-fd',
      )
    }
    const expected_version = await expectedVersion()
    printRecord(
      io,
      await io.call('cred.generate', { path, kind: options.generate, expected_version, ...known }),
    )
    return
  }
  // Nobody types a secret for a daemon that is not there.
  if (!hasSource(source)) await io.anonymous((admin) => admin.call('ping'))
  using value = await io.secret(source, {
    option: 'value',
    question: `Value of ${path}`,
    isNew: false,
    maxBytes: MAX_VALUE_BYTES,
    raw: options.raw,
  })
  mention(io, value, options)
  const expected_version = await expectedVersion()
  const reply = await io.call('cred.put', {
    path,
    value_base64: base64Member(value.secret),
    expected_version,
    ...known,
  })
  printRecord(io, reply)
}

function mention(
  io: CommandIo,
  { secret, trimmed }: GivenSecret,
  { type, host }: Pick<FactOptions, 'type' | 'host'>,
): void {
  if (trimmed) io.note('One line end was taken off the value; --raw keeps it.')
  if (secret.length === 0) io.warn('the value is empty')
  if (host?.includes('*') === true)
    io.warn('--host "*" leaves it to policies alone where the value is sent')
  if ((type === 'hmac_key' || type === 'signing_key') && secret.length < SHORT_KEY_BYTES) {
    io.warn(`the key has ${secret.length} bytes; fewer than ${SHORT_KEY_BYTES} can be guessed`)
  }
}

async function listAll(
  io: CommandIo,
  filter: { prefix: string | undefined; tag: string | undefined },
): Promise<Row[]> {
  return io.admin(async (admin) => {
    const credentials: Row[] = []
    let after: unknown
    do {
      const page = await admin.call('admin.cred.list', { ...filter, after })
      credentials.push(...rowsOf(page, 'credentials'))
      after = page['next_after']
    } while (after !== undefined)
    return credentials
  })
}

function printRecord(io: CommandIo, record: Row): void {
  io.print(record, (paint) => {
    const { settings: _, metadata, versions: __, ...plain } = record
    return (
      facts(
        [
          ...Object.entries(plain).filter(([, value]) => value !== null),
          ['metadata', metadata],
          ...Object.entries(rowOf(record, 'settings')),
        ],
        paint,
      ) + versionTable(record, paint)
    )
  })
}

function versionTable(record: Row, paint: CommandIo['paint']): string {
  const versions = rowsOf(record, 'versions')
  if (versions.length === 0) return ''
  const columns = [
    { title: 'VERSION', value: 'version', align: 'right' as const },
    { title: 'CREATED', value: 'created_at' },
    { title: 'BY', value: 'created_by' },
    { title: 'DESTROYED', value: 'destroyed' },
  ]
  return `\n${table(columns, versions, { paint, empty: '' })}`
}

function versionList(text: string): number[] {
  return text.split(',').map((part) => integer('--versions', 1, 2 ** 31)(part.trim()))
}

function valueOnCommandLine(): VestryError {
  return new VestryError('USAGE', 'values are never taken from the command line', {
    hint: 'Other users and the shell history can read it there. Use --value-stdin, --value-file or --value-fd',
  })
}
