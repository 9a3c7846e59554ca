/** `vestry exec`: starts an agent process that has no network but Vestry's sockets, and ends as it ends. */
import { existsSync, readFileSync, realpathSync } from 'node:fs'
import { homedir, hostname } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { VestryError } from '@vestry/contract/errors'
import type { Command } from 'commander'
import type { ExecPlan } from '../exec/exec.ts'
import type { VaultPlace } from '../exec/places.ts'
import { isRow, type Row } from './cell.ts'
import type { Run } from './command.ts'
import type { CommandIo } from './command-io.ts'
import { failureOf } from './failure.ts'
import { integer, list, oneOf } from './option-value.ts'

interface ExecOptions {
  agent?: string
  run?: string
  pod?: string
  env?: readonly string[]
  repo?: string
  read?: readonly string[]
  uid?: number
  sandbox: 'auto' | 'bubblewrap' | 'namespace'
}

export function execCommand(program: Command, run: Run): void {
  program
    .command('exec')
    .description('run an agent process without a network: it has Vestry’s sockets and nothing else')
    .argument('<command...>', 'the agent and its arguments, after --')
    .option('--agent <name>', 'agent it runs as; alone, its one open run is taken')
    .option('--run <id>', 'run whose sockets, tokens and directories it gets')
    .option('--pod <name>', 'name of the pod that it is told (default: this host)')
    .option('--env <name[=value]>', 'one more variable; repeatable', list)
    .option('--repo <dir>', 'repository that it may read; its REPO_PATH')
    .option('--read <path>', 'shown to it although what is around is hidden; repeatable', list)
    .option('--uid <n>', 'user that it runs as, for root', integer('--uid', 0, 4_294_967_293))
    .option(
      '--sandbox <kind>',
      'auto, bubblewrap (refuses system calls, hides files) or namespace (takes the network only)',
      oneOf('--sandbox', ['auto', 'bubblewrap', 'namespace'] as const),
      'auto' as const,
    )
    .action(run(exec))
}

async function exec(io: CommandIo, command: string[], options: ExecOptions): Promise<void> {
  if (options.agent === undefined && options.run === undefined) {
    throw new VestryError('USAGE', 'exec needs --run or --agent', {
      hint: 'Register a run first: vestry run register FILE --agent NAME',
    })
  }
  const [{ execAgent }, { givenVariable }, { agentUid }] = await Promise.all([
    import('../exec/exec.ts'),
    import('../exec/environment.ts'),
    import('../exec/uid.ts'),
  ])
  const extra = Object.fromEntries((options.env ?? []).map((text) => givenVariable(text, io.env)))
  const { agent, run } = await facts(io, options)
  const own = process.getuid?.() ?? 0
  const name = String(agent?.['name'] ?? '')
  const uid = agentUid(own, run?.['RUN_ID'] ?? name, options.uid)
  const plan: Omit<ExecPlan, 'pod' | 'podSockets'> = {
    command,
    run: run ?? {},
    extra,
    // A run alone is what its tokens say; the agent's own key comes with its name.
    vault: options.agent === undefined ? undefined : vaultOf(io, name),
    repository: options.repo === undefined ? undefined : existing('--repo', options.repo),
    shown: (options.read ?? []).map((path) => existing('--read', path)),
    // Also the homes that are not this one: keys lie there too.
    hidden: [io.home.dir, ...['.vestry', '.sanctum'].map((place) => join(homedir(), place))],
    uid,
    sandbox: options.sandbox,
    own: io.env,
    directory: process.cwd(),
    warn: (text) => io.warn(text),
  }
  const told = await announced(io, {
    agent: name,
    run: run?.['RUN_ID'],
    command: basename(command[0] ?? '').slice(0, 256),
    uid: uid ?? own,
  })
  let code: number | undefined
  try {
    code = await execAgent({
      ...plan,
      pod: { ...podVariables(io, agent, options.pod), ...told.variables },
      podSockets: podSocketsOf(io),
      started: told.started,
    })
    io.exitCode = code
  } finally {
    await told.ended(code)
  }
}

interface Announced {
  /** What the daemon gives the agent. */
  readonly variables: Readonly<Record<string, string>>
  started(process: { readonly pid: number }): void
  ended(exitCode: number | undefined): Promise<void>
}

/**
 * Tells the daemon of the process: that it will be, so that it may claim what it is, that it has begun, and how it
 * ended. A daemon that cannot be told any more keeps no agent from running on.
 */
async function announced(
  io: CommandIo,
  facts: { agent: string; run: string | undefined; command: string; uid: number },
): Promise<Announced> {
  const given = await io.call('exec.begin', facts)
  const beganMs = performance.now()
  const unrecorded = (what: string) => (error: unknown) =>
    io.warn(`the ${what} of the agent is not recorded: ${failureOf(error).message}`)
  let pid: number | undefined
  let recorded: Promise<unknown> = Promise.resolve()
  return {
    variables: variables({
      ENVPOD_AGENT_NAME: facts.agent,
      ENVPOD_POD_PUBLIC_KEY: given['pod_public_key'],
      ENVPOD_AGENT_TOKEN: given['agent_token'],
    }),
    started: (process) => {
      pid = process.pid
      recorded = io.call('exec.started', { ...facts, pid }).catch(unrecorded('start'))
    },
    ended: async (exitCode) => {
      await recorded
      const duration = { duration_ms: Math.round(performance.now() - beganMs) }
      await io
        .call('exec.ended', { ...facts, pid, exit_code: exitCode, ...duration })
        .catch(unrecorded('end'))
    },
  }
}

type Call = (verb: string, params: Row) => Promise<Row>

interface Facts {
  readonly agent: Row | undefined
  readonly run: Readonly<Record<string, string>> | undefined
}

/** What the daemon knows, asked for on one connection. */
function facts(io: CommandIo, options: ExecOptions): Promise<Facts> {
  return io.admin(async (admin) => {
    const call: Call = (verb, params) => admin.call(`admin.${verb}`, params, { signal: io.signal })
    const named = options.agent
    const agent = named === undefined ? undefined : await call('agent.show', { name: named })
    const id = options.run ?? (await openRun(agent, call))
    if (id === undefined) return { agent, run: undefined }
    const run = await call('run.show', { id })
    if (agent !== undefined && run['agent'] !== agent['name']) {
      throw new VestryError('USAGE', `${id} is a run of ${String(run['agent'])}`, {
        hint: 'Leave --agent out, or choose a run of that agent',
      })
    }
    if (run['state'] !== 'open')
      throw new VestryError('RUN_CLOSED', `${id} is ${String(run['state'])}`)
    if (!isRow(run['env'])) {
      throw new VestryError('USAGE', `${id} is served by another node`, {
        hint: 'Start its processes where it was registered, or register a run here',
      })
    }
    return {
      agent: agent ?? (await call('agent.show', { name: run['agent'] })),
      run: variables(run['env']),
    }
  })
}

/** The agent's one open run. @throws VestryError USAGE when it has several. */
async function openRun(agent: Row | undefined, call: Call): Promise<string | undefined> {
  if (agent === undefined) return undefined
  const { runs } = await call('run.list', { agent: agent['name'] })
  const open = (Array.isArray(runs) ? runs : [])
    .filter(isRow)
    .filter(({ state }) => state === 'open')
  if (open.length > 1) {
    const ids = open.map((one) => String(one['run_id'])).join(', ')
    throw new VestryError(
      'USAGE',
      `${String(agent['name'])} has ${open.length} open runs: ${ids}`,
      {
        hint: 'Choose one with --run',
      },
    )
  }
  return open[0] === undefined ? undefined : String(open[0]['run_id'])
}

function variables(env: unknown): Record<string, string> {
  return Object.fromEntries(
    Object.entries(isRow(env) ? env : {}).filter(
      (entry): entry is [string, string] => typeof entry[1] === 'string',
    ),
  )
}

/** What telemetry of the process is labelled with, as far as the daemon says. */
function podVariables(
  io: CommandIo,
  agent: Row | undefined,
  pod: string | undefined,
): Record<string, string> {
  const ready = readyFile(io)
  const text = (name: string): string | undefined => {
    const value = ready[name]
    return typeof value === 'string' ? value : undefined
  }
  const all = {
    ENVPOD_POD_ID: text('pod_id'),
    ENVPOD_POD_NAME: pod ?? text('pod_name') ?? hostname(),
    ENVPOD_AGENT_ID: agent === undefined ? undefined : String(agent['name']),
    ENVPOD_AGENT_ROLE: agent === undefined ? undefined : String(agent['role']),
  }
  return variables(all)
}

/** Not where the daemon does without them, and only those of an earlier one lie there. */
function podSocketsOf(io: CommandIo): string | undefined {
  const { queue_socket: queue } = readyFile(io)
  return typeof queue === 'string' && existsSync(io.home.podSockets)
    ? io.home.podSockets
    : undefined
}

function readyFile(io: CommandIo): Row {
  try {
    const ready: unknown = JSON.parse(readFileSync(io.home.ready, 'utf8'))
    return isRow(ready) ? ready : {}
  } catch {
    return {} // the daemon answered, so what is missing here is only where its other doors are
  }
}

function vaultOf(io: CommandIo, name: string): VaultPlace | undefined {
  const keyFile = [`${name}.key`, `${name}.key.enc`]
    .map((file) => join(io.home.keys, file))
    .find((file) => existsSync(file))
  return keyFile === undefined ? undefined : { socket: io.home.vaultSocket, keyFile }
}

function existing(option: string, path: string): string {
  try {
    return realpathSync(resolve(path))
  } catch (cause) {
    throw new VestryError('NOT_FOUND', `${option} ${path}: there is no such file`, { cause })
  }
}
