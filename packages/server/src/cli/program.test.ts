import { mkdirSync, mkdtempDisposableSync, readdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { VERSION } from '@vestry/contract/version'
import type { Command } from 'commander'
import { expect, test } from 'vitest'
import type { Run } from './command.ts'
import { EXAMPLES } from './examples.ts'
import { fakeTerminal } from './fake-terminal.test-kit.ts'
import { createProgram, runProgram } from './program.ts'

const never = new AbortController().signal

async function vestry(argv: readonly string[], options: Parameters<typeof fakeTerminal>[0] = {}) {
  const terminal = fakeTerminal(options)
  const exitCode = await runProgram(argv, terminal, never)
  return { exitCode, out: terminal.out(), err: terminal.err() }
}

/** Every command there is, as the words one types. */
function commandLines(
  command: Command,
  words: readonly string[] = [],
): { words: string[]; command: Command }[] {
  if (command.commands.length === 0) return [{ words: [...words], command }]
  return command.commands.flatMap((child) => commandLines(child, [...words, child.name()]))
}

const LEAVES = commandLines(createProgram(() => async () => {}, fakeTerminal()))

test.each(LEAVES.map(({ words, command }) => [words.join(' '), command] as const))(
  'vault §28.54: "%s" takes --json and --home, and has a description',
  (_, command) => {
    const flags = command.options.map(({ long }) => long)
    expect(flags).toEqual(expect.arrayContaining(['--json', '--home', '--socket', '--operator']))
    expect(command.description()).not.toBe('')
  },
)

test.each(Object.entries(EXAMPLES))(
  'the example in the help of "%s" is understood',
  async (words, rest) => {
    let ran = false
    const run: Run = () => async () => {
      ran = true
    }
    const quoted = rest.match(/'[^']*'|\S+/g) ?? []
    const argv = [...words.split(' '), ...quoted.map((word) => word.replace(/^'(.*)'$/, '$1'))]
    await createProgram(run, fakeTerminal()).parseAsync(argv, { from: 'user' })
    expect(ran).toBe(true)
    const { out, exitCode } = await vestry([...words.split(' '), '--help'])
    expect(out).toContain(`Example:\n  vestry ${words} ${rest}\n`)
    expect(exitCode).toBe(0)
  },
)

/** Arguments that are well-formed, for every command that needs a daemon. */
const PROGRAM = join(import.meta.dirname, '../../../../examples/dsl/webhook_handler.vestry')
const NEED_DAEMON: readonly string[][] = [
  ['workflow', 'list'],
  ['workflow', 'show', 'greeting'],
  ['workflow', 'add', 'examples/workflows/greeting.json'],
  ['workflow', 'rm', 'greeting'],
  ['workflow', 'run', 'greeting'],
  ['workflow', 'executions'],
  ['workflow', 'watch', 'exe_1'],
  ['workflow', 'cancel', 'exe_1'],
  ['workflow', 'signal', 'exe_1', 'go'],
  ['seal'],
  ['stop'],
  ['status'],
  ['unseal', '--passphrase-stdin'],
  ['passwd', '--passphrase-stdin', '--new-passphrase-file', '/dev/null'],
  ['rotate-root', '--passphrase-stdin'],
  ['rotate-keyring'],
  ['agent', 'add', 'scout'],
  ['agent', 'list'],
  ['agent', 'show', 'scout'],
  ['agent', 'rotate', 'scout'],
  ['agent', 'revoke', 'scout'],
  ['agent', 'disable', 'scout'],
  ['agent', 'enable', 'scout'],
  ['agent', 'env', 'scout'],
  ['agent', 'run', 'scout', '--input', 'x', '--watch'],
  ['agent', 'history', 'scout'],
  ['cred', 'add', 'a/b', '--value-stdin'],
  ['cred', 'add', 'a/b', '--generate', 'aes256'],
  ['cred', 'rotate', 'a/b', '--value-stdin'],
  ['cred', 'amend', 'a/b', '--tag', 'x'],
  ['cred', 'import', '-', '--format', 'env'],
  ['cred', 'list'],
  ['cred', 'show', 'a/b'],
  ['cred', 'rollback', 'a/b', '--to', '1'],
  ['cred', 'rm', 'a/b'],
  ['cred', 'undelete', 'a/b'],
  ['cred', 'destroy', 'a/b'],
  ['cred', 'reveal', 'a/b'],
  ['schedule', 'list'],
  ['schedule', 'add', 'nightly', '--agent', 'scout', '--cron', '30 2 * * *'],
  ['schedule', 'pause', 'sch_1'],
  ['schedule', 'resume', 'sch_1'],
  ['schedule', 'trigger', 'sch_1'],
  ['schedule', 'rm', 'sch_1'],
  ['schedule', 'history', 'sch_1'],
  ['secret', 'set', 'scout', 'db/password', '--value-stdin'],
  ['secret', 'get', 'scout', 'db/password', '--reveal', '--force-stdout'],
  ['secret', 'list', 'scout'],
  ['secret', 'rm', 'scout', 'db/password'],
  ['secret', 'backend', 'show', '--check'],
  ['secret', 'backend', 'set', join(import.meta.dirname, '../../package.json'), '--migrate'],
  ['policy', 'add', 'r', '--principal', 'agent:*', '--resources', 'a/*', '--actions', 'list'],
  ['policy', 'list'],
  ['policy', 'show', 'r'],
  ['policy', 'rm', 'r'],
  ['policy', 'test', '--agent', 'a', '--path', 'p', '--action', 'list'],
  ['policy', 'test', '--agent', 'a', '--tool', 't', '--action', 'x', '--intent', 'i'],
  ['policy', 'test', '--agent', 'a', '--runs', 'b'],
  ['policy', 'simulate', '--agent', 'a', '--path', 'p', '--action', 'list'],
  ['telemetry', 'status'],
  ['telemetry', 'export', '--from', '1'],
  ['tool', 'list'],
  ['tool', 'show', 'crm'],
  ['tool', 'add', import.meta.filename],
  ['tool', 'rm', 'crm'],
  ['tool', 'test', 'crm:contact', '--params', '{}', '--agent', 'scout'],
  ['tool', 'sign', 'rev_1'],
  ['tool', 'verify', import.meta.filename, '--domain', 'maps.example'],
  ['tool', 'key', 'add', 'release'],
  ['tool', 'key', 'list'],
  ['tool', 'key', 'revoke', 'release'],
  ['tool', 'pin', 'list'],
  ['tool', 'pin', 'add', 'route_finder', 'maps.example'],
  ['tool', 'pin', 'rm', 'route_finder', 'maps.example'],
  ['review', 'list', '--status', 'pending_review', '--author', 'dana'],
  ['review', 'queue'],
  ['review', 'show', 'rev_1'],
  ['review', 'audit', 'rev_1'],
  ['review', 'stats'],
  ['review', 'submit', import.meta.filename],
  ['review', 'claim', 'rev_1'],
  ['review', 'approve', 'rev_1', '--comments', 'x'],
  ['review', 'reject', 'rev_1'],
  ['review', 'escalate', 'rev_1'],
  ['review', 'reanalyze', 'rev_1'],
  ['review', 'sign', 'rev_1'],
  ['mcp', 'add', 'files', '--url', 'https://mcp.example.com/'],
  ['knowledge', 'add', '-'],
  ['knowledge', 'search', 'tides'],
  ['knowledge', 'context', 'tides'],
  ['knowledge', 'list'],
  ['knowledge', 'show', 'kb-7'],
  ['knowledge', 'rm', 'kb-7'],
  ['mcp', 'list'],
  ['mcp', 'show', 'files'],
  ['mcp', 'connect', 'files'],
  ['mcp', 'disconnect', 'files'],
  ['mcp', 'rm', 'files'],
  ['mcp', 'tools', 'files'],
  ['mcp', 'resources'],
  ['mcp', 'logs', 'files'],
  ['mcp', 'call', 'files', 'read_file', '--args', '{"path":"/data/a"}'],
  ['mcp', 'accept', 'files', 'read_file'],
  ['deployment', 'list'],
  ['deployment', 'show', 'dep_1'],
  ['deployment', 'stop', 'dep_1'],
  ['deployment', 'rollback', 'dep_1'],
  ['deployment', 'invoke', 'dep_1'],
  ['deployment', 'add', 'scout', '--set', 'max_concurrent_tasks=2'],
  ['input', 'list'],
  ['input', 'show', 'his_1'],
  ['input', 'add', join(import.meta.dirname, '../../package.json')],
  ['dsl', 'diff', PROGRAM],
  ['dsl', 'deploy', PROGRAM],
  ['input', 'update', 'his_1', join(import.meta.dirname, '../../package.json')],
  ['input', 'start', 'his_1'],
  ['input', 'stop', 'his_1'],
  ['input', 'rm', 'his_1'],
  ['input', 'trigger', 'his_1'],
  ['token', 'mint', '--agent', 'scout', '--tool', 'crm', '--permission', 'read'],
  ['token', 'list', '--live'],
  ['token', 'revoke', '6ad584ab-4548-4ade-a0ae-7f08fbed6631'],
  ['token', 'svid', '--agent', 'scout'],
  ['token', 'trat', '--run', 'run_1'],
  ['token', 'pod', '--agent', 'scout'],
  ['run', 'register', join(import.meta.dirname, '../../package.json'), '--agent', 'scout'],
  ['run', 'list', '--all'],
  ['run', 'show', 'run_1'],
  ['run', 'close', 'run_1'],
  ['run', 'rotate-keys', '--now'],
  ['job', 'list', '--state', 'done'],
  ['job', 'show', 'x'],
  ['agent', 'claims', 'scout'],
  ['claim', 'list'],
  ['claim', 'revoke', '--agent', 'scout'],
  ['lease', 'list'],
  ['llm', 'usage', '--run', 'run_1', '--agent', 'scout', '--total'],
  ['llm', 'models'],
  ['lease', 'revoke', 'x'],
  ['session', 'list'],
  ['session', 'revoke', 'x'],
  ['approval', 'list'],
  ['approval', 'allow', 'x', '--for', '5m'],
  ['approval', 'deny', 'x'],
  ['key', 'add'],
  ['key', 'list'],
  ['key', 'revoke', 'x'],
  ['operator', 'add', 'ada', '--role', 'auditor'],
  ['operator', 'list'],
  ['operator', 'revoke', 'ada'],
  ['slot', 'add', 'shamir', '--passphrase-stdin'],
  ['slot', 'rm', 'x', '--passphrase-stdin'],
  ['slot', 'list'],
  ['audit', 'tail', '-n', '5'],
  ['audit', 'tail', '-f'],
  ['audit', 'query', '--since', '1h'],
  ['audit', 'hash', '--value-stdin'],
  ['audit', 'export'],
  ['audit', 'prune', '--before', '90d'],
  ['audit', 'checkpoint'],
  ['trace', 'txn_1'],
  ['why', 'dec_1'],
  ['exec', '--run', 'run_1', 'true'],
  ['backup', 'somewhere'],
]

test.each(NEED_DAEMON.map((words) => [words.join(' '), words] as const))(
  'vault §28.54: "%s" ends with 4 and one JSON object when there is no daemon',
  async (_, words) => {
    using dir = mkdtempDisposableSync(join(tmpdir(), 'cli-'))
    const { exitCode, out } = await vestry([...words, '--json', '--home', dir.path], {
      input: 'A=secret',
    })
    expect(JSON.parse(out).error).toEqual({
      code: 'DAEMON_UNREACHABLE',
      message: expect.stringContaining('admin.sock'),
      hint: expect.stringContaining('vestry up'),
      context: {},
    })
    expect(exitCode).toBe(4)
    const left = readdirSync(dir.path, { recursive: true, encoding: 'utf8' })
    expect(left.filter((name) => name !== 'keys')).toEqual([]) // no key file is left behind
  },
)

test('every command is either run without a daemon here, or known to work without one', () => {
  const tried = new Set(NEED_DAEMON.map((words) => words.join(' ')))
  const missing = LEAVES.map(({ words }) => words.join(' ')).filter(
    (name) => ![...tried].some((line) => line === name || line.startsWith(`${name} `)),
  )
  expect(missing).toEqual([
    'up',
    'init',
    'doctor',
    'policy template',
    'review corpus',
    'mcp serve',
    'dsl check',
    'dsl fmt',
    'dsl compile',
    'audit verify',
    'forward',
    'restore',
    'version',
  ])
})

test.each([
  [['agent', 'ad'], 'USAGE: there is no command "ad" → Did you mean add?'],
  [['polcy', 'list'], 'USAGE: there is no command "polcy" → Did you mean policy?'],
  [['agent', 'list', '--revokd'], 'USAGE: there is no option --revokd → Did you mean --revoked?'],
  [['mcp', 'serve', '--ur', 'x'], 'USAGE: there is no option --ur → Did you mean --url?'],
  [['agent', 'add'], 'USAGE: the argument <name> is missing → See --help'],
  [['cred', 'rollback', 'a'], 'USAGE: the option --to <version> is missing → See --help'],
  [['agent', 'list', '--home'], 'USAGE: the option --home <dir> needs a value → See --help'],
  [['up', '--port', 'http'], 'USAGE: --port expects a whole number from 0 to 65535 → See --help'],
])('%j is bad usage and says what was meant', async (argv, line) => {
  const { exitCode, out, err } = await vestry(argv)
  expect(err).toBe(`${line}\n`)
  expect(out).toBe('')
  expect(exitCode).toBe(2)
})

test('bad usage with --json is one object on stdout', async () => {
  const { exitCode, out, err } = await vestry(['agent', 'list', '--revokd', '--json'])
  expect(JSON.parse(out)).toEqual({
    error: {
      code: 'USAGE',
      message: 'there is no option --revokd',
      hint: 'Did you mean --revoked?',
      context: {},
    },
  })
  expect({ exitCode, err }).toEqual({ exitCode: 2, err: '' })
})

test.each([
  [['cred', 'add', 'a/b', '--value', 'sk-SECRET']],
  [['cred', 'add', 'a/b', '--value=sk-SECRET']],
  [['cred', 'add', 'a/b', 'sk-SECRET']],
  [['cred', 'add', 'a/b', '--valu=sk-SECRET']],
  [['cred', 'rotate', 'a/b', '--value', 'sk-SECRET']],
  [['secret', 'set', 'scout', 'a', '--value', 'sk-SECRET']],
  [['secret', 'set', 'scout', 'a', 'sk-SECRET']],
  [['audit', 'hash', 'sk-SECRET']],
])('vault §28.54: a secret on the command line is refused and not repeated: %j', async (argv) => {
  for (const extra of [[], ['--json']]) {
    const { exitCode, out, err } = await vestry([...argv, ...extra])
    expect(exitCode).toBe(2)
    expect(out + err).not.toContain('SECRET')
  }
})

test('a secret in the environment is not read', async () => {
  using dir = mkdtempDisposableSync(join(tmpdir(), 'cli-'))
  const env = { VESTRY_PASSPHRASE: 'x', SANCTUM_PASSPHRASE: 'x' }
  const { exitCode, err } = await vestry(['init', '--home', dir.path], { env: { ...env } })
  expect(err).toMatch(/^(?:CONFIG_INVALID|USAGE): /)
  expect(exitCode).toBeGreaterThan(0)
})

test('without a command the help goes to stderr and the exit code is 2', async () => {
  const { exitCode, out, err } = await vestry([])
  expect(err).toContain('Usage: vestry')
  expect(err).toMatch(/USAGE: a command is missing → See --help\n$/)
  expect({ exitCode, out }).toEqual({ exitCode: 2, out: '' })
})

test('help that was asked for goes to stdout', async () => {
  const { exitCode, out, err } = await vestry(['cred', 'add', '--help'])
  expect(out).toContain('--value-stdin')
  expect(out).not.toContain('--value [secret]')
  expect({ exitCode, err }).toEqual({ exitCode: 0, err: '' })
})

test('the version, as an option and as a document', async () => {
  expect(await vestry(['--version'])).toEqual({ exitCode: 0, out: `${VERSION}\n`, err: '' })
  const { out } = await vestry(['version', '--json'])
  expect(JSON.parse(out)).toMatchObject({ version: VERSION })
})

test('options may stand before or behind the command, and the nearer one wins', async () => {
  const at = async (argv: string[]) => (await vestry(argv)).err
  expect(await at(['--home', '/a', 'agent', 'list'])).toContain('/a/run/admin.sock')
  expect(await at(['agent', '--home', '/b', 'list'])).toContain('/b/run/admin.sock')
  expect(await at(['--home', '/a', 'agent', 'list', '--home', '/c'])).toContain('/c/run/admin.sock')
  expect(await at(['agent', 'list', '--socket', '/d.sock'])).toContain('/d.sock')
  const fromEnvironment = await vestry(['agent', 'list'], { env: { VESTRY_HOME: '/e' } })
  expect(fromEnvironment.err).toContain('/e/run/admin.sock')
})

test('a secret is not shown to a pipe unless that is said', async () => {
  for (const argv of [
    ['cred', 'reveal', 'a/b'],
    ['secret', 'get', 'scout', 'a', '--reveal'],
    ['key', 'add'],
    ['init', '--shares', '3'],
  ]) {
    const { exitCode, err } = await vestry(argv)
    expect(err).toContain('--force-stdout')
    expect(exitCode).toBe(2)
  }
})

test.each([
  ['policy add', ['policy', 'add', '/nowhere/p.yaml'], 'NOT_FOUND', 1],
  ['cred add', ['cred', 'add', 'a/b', '--value-file', '/nowhere/v'], 'NOT_FOUND', 1],
  ['cred import', ['cred', 'import', '/nowhere/a.env'], 'NOT_FOUND', 1],
  ['secret set', ['secret', 'set', 'a', 'b', '--value-file', '/nowhere/v'], 'NOT_FOUND', 1],
  ['secret backend set', ['secret', 'backend', 'set', '/nowhere/b.yaml'], 'NOT_FOUND', 1],
  ['up', ['up', '--config', '/nowhere/vestry.yaml'], 'CONFIG_INVALID', 1],
  ['init', ['init', '--passphrase-file', '/nowhere/p'], 'NOT_FOUND', 1],
  ['restore', ['restore', '/nowhere/backup'], 'INVALID_PARAMS', 2],
  ['audit verify', ['audit', 'verify', '--public-key', 'xyz'], 'USAGE', 2],
])('a wrong file or value for "%s" is told', async (_, argv, code, expected) => {
  using dir = mkdtempDisposableSync(join(tmpdir(), 'cli-'))
  const { exitCode, out } = await vestry([...argv, '--json', '--home', join(dir.path, 'home')])
  expect(JSON.parse(out).error.code).toBe(code)
  expect(exitCode).toBe(expected)
})

test.each([
  ['a home that is a file', { file: 'home' }, 'the directory'],
  ['a home below a file', { file: 'home', home: 'home/below' }, 'ENOTDIR'],
  ['a home where none can be made', { home: '/proc/vestry' }, 'ENOENT'],
  ['settings that are no YAML', { settings: 'egress: {allow_cidrs: [\n' }, 'vestry.yaml: '],
  ['an unknown section', { settings: 'egres: {}\n' }, 'did you mean "egress"?'],
  [
    'a value of another kind',
    { settings: 'http: {port: x}\n' },
    'expected number, received string',
  ],
  ['a path too long for a socket', { home: 'h'.repeat(120) }, '103 are allowed'],
])('up says in one line what is wrong with %s', async (_, given, told) => {
  const { file, home = 'home', settings }: Partial<Record<string, string>> = given
  using dir = mkdtempDisposableSync(join(tmpdir(), 'cli-'))
  if (file !== undefined) writeFileSync(join(dir.path, file), '')
  if (settings !== undefined) {
    mkdirSync(join(dir.path, home))
    writeFileSync(join(dir.path, home, 'vestry.yaml'), settings)
  }
  const where = home.startsWith('/') ? home : join(dir.path, home)
  const { exitCode, err } = await vestry(['up', '--dev', '--port', '0', '--home', where])
  const failure = err.split('\n').filter((line) => line !== '' && !line.startsWith('warning:'))
  expect(failure).toEqual([expect.stringMatching(/^CONFIG_INVALID: .+ → .+$/)])
  expect(failure[0]).toContain(told)
  expect(exitCode).toBe(1)
})

test('a rule by options is complete or refused', async () => {
  const { err } = await vestry(['policy', 'add', 'r', '--resources', 'a/*', '--actions', 'list'])
  expect(err).toContain('needs --principal, --resources and --actions')
})

test('audit verify reads the files when no daemon answers, and fails on what it cannot read', async () => {
  using dir = mkdtempDisposableSync(join(tmpdir(), 'cli-'))
  const { exitCode, out } = await vestry(['audit', 'verify', '--json', '--home', dir.path])
  expect(JSON.parse(out)).toMatchObject({ status: 'unreadable', problem: expect.any(String) })
  expect(exitCode).toBe(1)
})

test('doctor works in an empty place', async () => {
  using dir = mkdtempDisposableSync(join(tmpdir(), 'cli-'))
  const home = join(dir.path, 'home')
  const { exitCode, out } = await vestry(['doctor', '--json', '--home', home])
  const report = JSON.parse(out)
  expect(report.checks).toContainEqual(
    expect.objectContaining({
      name: 'daemon',
      status: 'warn',
      advice: expect.stringContaining('vestry up'),
    }),
  )
  expect(exitCode).toBe(report.healthy ? 0 : 1)
})

test('an import that holds a path twice writes nothing', async () => {
  using dir = mkdtempDisposableSync(join(tmpdir(), 'cli-'))
  const file = join(dir.path, 'twice.env')
  writeFileSync(file, 'A=1\nA=2\n')
  const { err } = await vestry(['cred', 'import', file, '--home', dir.path])
  expect(err).toMatch(/^INVALID_PARAMS: the file holds A twice/)
})
