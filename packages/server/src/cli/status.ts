/** `vestry status`: whether the daemon runs, whether the vault is open, and what is in it. */
import type { Command } from 'commander'
import { cellText, counted, type Row, rowOf } from './cell.ts'
import type { Run } from './command.ts'
import type { CommandIo } from './command-io.ts'
import { failureOf } from './failure.ts'
import type { Paint } from './style.ts'
import { facts } from './table.ts'

export function statusCommand(program: Command, run: Run): void {
  program
    .command('status')
    .description('show the state of the daemon and the vault')
    .action(
      run(async (io) => {
        const state = await io.anonymous((admin) => admin.call('status'))
        const inside = state['sealed'] === true ? {} : await insideView(io)
        const document = { ...state, ...inside }
        io.print(document, (paint) => statusText(document, paint))
        if (state['initialized'] !== false && state['sealed'] === true)
          io.note('Open it with "vestry unseal".')
      }),
    )
}

/** What only operators see. Without a key the public part is still an answer. */
async function insideView(io: CommandIo): Promise<Row> {
  try {
    return await io.call('server.show')
  } catch (error) {
    const { code, message } = failureOf(error)
    if (code !== 'AUTH_FAILED' && code !== 'ACCESS_DENIED') throw error
    io.note(`Not logged in, so only the public part is shown: ${message}`)
    return {}
  }
}

/** For programs; or told in words of its own below. */
const NOT_SHOWN = new Set([
  ...['initialized', 'sealed', 'features', 'protocol', 'limits', 'audit_available', 'audit'],
  ...['version', 'server_time', 'pid', 'started_at', 'home', 'dev', 'term', 'generation'],
  ...['credentials', 'agents', 'policies', 'leases', 'sessions', 'failed_unseals', 'policy_set'],
  ...['http', 'llm_socket', 'open_runs', 'telemetry'],
])

function statusText(status: Row, paint: Paint): string {
  const { sealed, initialized, version, pid, dev } = status
  const state =
    initialized === false
      ? paint('yellow', 'no vault yet')
      : sealed === true
        ? paint('yellow', 'sealed')
        : paint('green', 'unsealed')
  const process = pid === undefined ? undefined : `process ${cellText(pid)}`
  const mode = dev === true ? 'development mode: it unseals itself' : undefined
  const rest = Object.entries(status)
    .filter(([name]) => !NOT_SHOWN.has(name))
    .map(([name, value]) => [name.replaceAll('_', ' '), value] as const)
  return `${state}\n${facts(
    [
      [
        'daemon',
        [`version ${cellText(version)}`, process, mode].filter((one) => one !== undefined),
      ],
      ['running since', status['started_at']],
      ['home', status['home']],
      ['http', status['http']],
      ['llm socket', status['llm_socket']],
      ['telemetry', telemetryText(rowOf(status, 'telemetry'))],
      ['audit log', auditText(status)],
      ...(sealed === true ? [] : contents(status)),
      ...rest,
    ],
    paint,
  )}`
}

function telemetryText(telemetry: Row): readonly unknown[] | string | undefined {
  const { enabled, sockets, connections, claims, claims_unavailable: why, last_gap } = telemetry
  if (enabled === undefined) return undefined
  if (enabled === false) return 'off'
  const { at, missing } = rowOf(telemetry, 'last_gap')
  return [
    ...(Array.isArray(sockets) ? sockets : []),
    counted(connections, 'connection'),
    why === undefined ? counted(claims, 'claim') : 'NO CLAIMS POSSIBLE: every caller is anonymous',
    ...(last_gap === null ? [] : [`last gap ${cellText(at)}, ${counted(missing, 'event')}`]),
  ]
}

function auditText(status: Row): string {
  const { seq } = rowOf(status, 'audit')
  if (status['audit_available'] === false) return 'NOT WRITABLE: nothing is served until it is'
  return seq === undefined ? 'writable' : `writable, ${counted(seq, 'record')}`
}

/** What only an operator of an open vault is told. */
function contents(status: Row): [string, unknown][] {
  if (status['credentials'] === undefined) return []
  const of = (name: string) => counted(status[name], name.slice(0, -1))
  const { term, created_at: since, due } = rowOf(status, 'term')
  const failed = status['failed_unseals']
  return [
    ['holds', [of('credentials'), of('agents'), counted(status['policies'], 'policy', 'policies')]],
    ['in use', [of('leases'), of('sessions'), counted(status['open_runs'], 'open run')]],
    ['policy set', status['policy_set']],
    ['store', counted(status['generation'], 'change')],
    [
      'key term',
      `${cellText(term)}, since ${cellText(since)}${due === true ? ', rotation is due' : ''}`,
    ],
    ['failed unseals', failed === 0 ? undefined : failed],
  ]
}
