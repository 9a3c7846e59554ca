/** What only the running daemon can tell: seal, slots, record, policies, tools. */
import type { Config } from '../app/config.ts'
import type { AdminClient } from './admin-client.ts'
import { counted, type Row, rowOf, rowsOf } from './cell.ts'
import { type Check, fail, ok, warn } from './check.ts'
import type { CommandIo } from './command-io.ts'
import { checkBudgets, checkLlmSocket, checkProviders } from './doctor-models.ts'
import { checkBundleRead, checkRunAgents } from './doctor-runs.ts'
import { checkTelemetry } from './doctor-telemetry.ts'
import { failureOf } from './failure.ts'
import { toolState } from './tool-text.ts'

/** Beyond these many, looking at each would take longer than a person waits. */
const MAX_POLICIES = 500
const MAX_RUNS = 1_000
const MAX_SKEW_MS = 5_000

/** @param config undefined where it cannot be read. */
export async function checkDaemon(io: CommandIo, config: Config | undefined): Promise<Check[]> {
  let status: Row
  try {
    status = await io.anonymous((admin) => admin.call('status'))
  } catch (error) {
    return [
      warn(
        'daemon',
        failureOf(error).message,
        'Start it with "vestry up" for the rest of the checks',
      ),
    ]
  }
  const checks = [
    ok('daemon', `version ${String(status['version'])} answers`),
    skew(status, Date.now()),
  ]
  if (status['initialized'] === false)
    return [...checks, warn('vault', 'there is none yet', 'Run "vestry init"')]
  if (status['sealed'] === true)
    return [...checks, warn('vault', 'is sealed', 'Run "vestry unseal"')]
  try {
    return [
      ...checks,
      ok('vault', 'is unsealed'),
      ...(await io.admin((admin) => inside(admin, config))),
    ]
  } catch (error) {
    return [
      ...checks,
      warn('operator', failureOf(error).message, 'The rest needs the key of an operator'),
    ]
  }
}

async function inside(admin: AdminClient, config: Config | undefined): Promise<Check[]> {
  const show = await admin.call('admin.server.show')
  const slots = await admin.call('admin.slot.list')
  const tools = await admin.call('admin.tool.list')
  return [
    ...checkServer(show),
    ...checkSlots(rowsOf(slots, 'slots')),
    await policies(admin),
    ...checkTools(rowsOf(tools, 'tools')),
    ...(await models(admin, show, config)),
    ...(await runs(admin, config)),
    ...checkTelemetry(rowOf(show, 'telemetry')),
  ]
}

async function models(admin: AdminClient, show: Row, config: Config | undefined): Promise<Check[]> {
  const { llm_socket: socket, open_runs: openRuns, dev } = show
  const providers = rowsOf(await admin.call('admin.llm.models'), 'providers')
  const live = providers.some(({ answers }) => answers === 'live')
  return [
    ...(typeof socket === 'string' ? await checkLlmSocket(socket) : []),
    ...checkProviders(providers, { dev: dev === true, openRuns: Number(openRuns) }),
    ...(config === undefined ? [] : [checkBudgets(config.llm.budgets, { live })]),
  ]
}

async function runs(admin: AdminClient, config: Config | undefined): Promise<Check[]> {
  const open = await admin.call('admin.run.list', { limit: MAX_RUNS })
  const agents = await admin.call('admin.agent.list')
  return [
    ...checkRunAgents(rowsOf(open, 'runs'), rowsOf(agents, 'agents')),
    ...(config === undefined
      ? []
      : checkBundleRead(config.identity, await admin.call('admin.run.trust_bundle'))),
  ]
}

export function checkServer(show: Row): Check[] {
  const audit = rowOf(show, 'audit')
  const checks = [
    audit['available'] === false
      ? fail(
          'audit',
          'cannot be written: every action is refused',
          'Make room on the disk or mend permissions',
        )
      : ok('audit', `record ${String(audit['seq'])}`),
  ]
  if (rowOf(show, 'term')['due'] === true) {
    checks.push(warn('term key', 'is old or much used', 'Run "vestry rotate-keyring"'))
  }
  const failed = show['failed_unseals']
  if (typeof failed === 'number' && failed > 0) {
    checks.push(
      warn(
        'unseal',
        `${counted(failed, 'attempt')} failed`,
        'Find out who tried: vestry audit query --action vault.unseal_failed',
      ),
    )
  }
  if (show['dev'] === true) {
    checks.push(warn('mode', 'runs with --dev', 'Use it for try-outs only'))
  }
  return checks
}

export function checkSlots(slots: readonly Row[]): Check[] {
  const types = slots.map((slot) => String(slot['type']))
  const checks: Check[] = []
  if (slots.length === 1) {
    checks.push(
      warn(
        'slots',
        `only one way to open the vault (${types.join()})`,
        'Add another: vestry slot add shamir',
      ),
    )
  } else {
    checks.push(ok('slots', `${slots.length} ways to open the vault: ${types.join(', ')}`))
  }
  if (types.length > 0 && types.every((type) => type === 'keyfile')) {
    checks.push(
      warn(
        'slots',
        'losing the key file loses the vault',
        'Add a passphrase: vestry slot add passphrase',
      ),
    )
  }
  for (const slot of slots.filter(({ usable }) => usable === false)) {
    checks.push(
      warn('slots', `slot ${String(slot['id'])} cannot be used`, 'Remove it: vestry slot rm'),
    )
  }
  return checks
}

/** Built-in tools that nobody set up are simply not used; of one that somebody added a credential was forgotten. */
export function checkTools(tools: readonly Row[]): Check[] {
  const names = (chosen: readonly Row[]) => chosen.map(({ name }) => String(name)).join(', ')
  const state = (wanted: string) => tools.filter((tool) => toolState(tool) === wanted)
  const bare = state('no credential')
  const forgotten = bare.filter(({ origin }) => origin !== 'builtin')
  const unused = bare.filter(({ origin }) => origin === 'builtin')
  const failing = state('provider fails')
  const live = tools.filter(({ mode }) => mode === 'live').length - bare.length
  const mocked = tools.filter(({ mode }) => mode === 'mock').length
  const summary = [
    `${counted(live, 'tool')} live`,
    ...(mocked === 0 ? [] : [`${mocked} mocked`]),
    ...(unused.length === 0 ? [] : [`not set up: ${names(unused)}`]),
  ].join(', ')
  return [
    ok('gateway', summary),
    ...forgotten.map(({ name, credential }) =>
      warn(
        'gateway',
        `the tool ${String(name)} has no credential`,
        `Add it: vestry cred add ${String(credential)} --value-stdin`,
      ),
    ),
    ...(failing.length === 0
      ? []
      : [
          warn(
            'gateway',
            `the provider fails: ${names(failing)}`,
            'Look at its calls: vestry audit query --action tool.call --since 1h',
          ),
        ]),
  ]
}

async function policies(admin: AdminClient): Promise<Check> {
  const listed = rowsOf(await admin.call('admin.policy.list'), 'policies').filter(
    ({ enabled }) => enabled === true,
  )
  const weak: string[] = []
  for (const { id } of listed.slice(0, MAX_POLICIES)) {
    const { text } = await admin.call('admin.policy.show', { name: id })
    if (typeof text === 'string' && isWide(text)) weak.push(String(id))
  }
  if (listed.length === 0) return ok('policies', 'none: everything is denied')
  if (weak.length === 0)
    return ok('policies', `${counted(listed.length, 'policy', 'policies')}, none for everything`)
  return warn(
    'policies',
    `wide open: ${weak.join(', ')}`,
    'Name the paths, hosts and actions they are for',
  )
}

/** Whether a Cedar permit is for every path, every host or every action. */
export function isWide(cedar: string): boolean {
  if (!/\bpermit\s*\(/.test(cedar)) return false
  const head = /\bpermit\s*\(([\s\S]*?)\)/.exec(cedar)?.[1] ?? ''
  const [, action = '', resource = ''] = head.split(',').map((part) => part.trim())
  const everyAction = action === 'action'
  const everything = /(?:Path|Host)Glob::"\*{1,2}"/.test(cedar)
  const noPath =
    resource === 'resource' && !/PathGlob::|Credential::/.test(cedar) && /Glob::"\*"/.test(cedar)
  return everyAction || everything || noPath
}

function skew(status: Row, nowMs: number): Check {
  const theirs =
    typeof status['server_time'] === 'string' ? Date.parse(status['server_time']) : nowMs
  if (Math.abs(theirs - nowMs) <= MAX_SKEW_MS) return ok('daemon clock', 'agrees with this one')
  return warn(
    'daemon clock',
    `is ${Math.round((theirs - nowMs) / 1_000)} s off`,
    'Synchronise both clocks: tokens and leases tell time by them',
  )
}
