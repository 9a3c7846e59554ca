/** `vestry audit …`: reading, proving and keeping the record. */
import { VestryError } from '@vestry/contract/errors'
import type { Command } from 'commander'
import { printExport } from './audit-export.ts'
import { recordLine, verifyText } from './audit-lines.ts'
import { printSpans, type SpansOptions } from './audit-spans.ts'
import { verifyAudit } from './audit-verify.ts'
import { base64Member } from './base64-member.ts'
import { type Row, rowsOf } from './cell.ts'
import type { Run } from './command.ts'
import type { CommandIo } from './command-io.ts'
import { EXIT } from './exit-code.ts'
import { integer, moment } from './option-value.ts'
import { facts } from './table.ts'

interface FilterOptions {
  agent?: string
  actor?: string
  action?: string
  source?: string
  path?: string
  since?: number
  until?: number
  denied?: boolean
  anonymous?: boolean
  request?: string
  txn?: string
  trace?: string
  decision?: string
}

interface PodOptions {
  readonly all?: boolean
  readonly groupBySpan?: boolean
}

/** Records a page shows at most when nothing else is said. */
const TAIL = 20
const MAX_RECORDS = 5_000
const MAX_VALUE_BYTES = 65_536

export function auditCommands(program: Command, run: Run): void {
  const audit = program
    .command('audit')
    .description('the record of everything that happened')
    .argument('[pod]', 'whose record: name or id of the pod of this daemon')
    .option('--all', 'of every pod that this daemon keeps the record of')
    .option('--group-by-span', 'by traces of agents: each span, and what it caused')
    .option('--trace <id>', 'only this trace')
    .option('--agent <name>', 'only traces of this agent')
    .option('--anonymous', 'only traces of callers without a claim')
    .option('--since <time>', 'from this time on, or an age such as 2h', moment('--since'))
    .option('--until <time>', 'before this time', moment('--until'))
    .option('--no-kernel', 'without what spans caused: only what agents say')
    .option(
      '--limit <n>',
      `records read at most, the newest (default: 20000)`,
      integer('--limit', 1, 200_000),
    )
    .action(
      run(async (io, pod: string | undefined, options: SpansOptions & PodOptions) => {
        const { groupBySpan, all } = options
        if (all === true && pod !== undefined)
          throw new VestryError('USAGE', 'give a pod or --all, not both')
        if (groupBySpan !== true) {
          throw new VestryError('USAGE', 'audit expects --group-by-span, or one of its commands', {
            hint: 'Try "vestry audit tail", or "vestry audit --help"',
          })
        }
        await printSpans(io, pod, options)
      }),
    )

  withFilterOptions(audit.command('tail'))
    .description('show the newest records')
    .option('-n, --lines <n>', `how many (default: ${TAIL})`, integer('-n', 0, MAX_RECORDS))
    .option('-f, --follow', 'go on with new ones; with --json one document per line')
    .action(
      run(async (io, options: FilterOptions & { lines?: number; follow?: boolean }) => {
        const params = { ...filterOf(options), n: options.lines ?? TAIL, follow: options.follow }
        if (options.follow === true) await follow(io, params)
        else await tail(io, params)
      }),
    )

  withFilterOptions(audit.command('query'))
    .description('find records, oldest first')
    .option(
      '--limit <n>',
      'at most this many, the newest (default: 100)',
      integer('--limit', 1, MAX_RECORDS),
    )
    .action(
      run(async (io, options: FilterOptions & { limit?: number }) => {
        const reply = await io.call(
          'audit.query',
          { ...filterOf(options), limit: options.limit },
          'reading the record',
        )
        io.print(reply, recordLines(io, rowsOf(reply, 'records')))
        if (reply['truncated'] === true) io.warn('more records match; narrow the question')
      }),
    )

  audit
    .command('verify')
    .description('prove that the record is whole; works without a daemon')
    .option('--dir <dir>', 'verify these files, not those of the daemon')
    .option('--public-key <hex>', 'key that signed the checkpoints, 64 hex digits; with --dir')
    .action(
      run(async (io, options: { dir?: string; publicKey?: string }) => {
        const report = await verifyAudit(io, options)
        if (report['status'] !== 'intact') io.exitCode = EXIT.failed
        io.print(report, (paint) => verifyText(report, paint))
      }),
    )

  audit
    .command('hash')
    .description('the form in which the record holds a secret value, such as a lease id')
    .option('--value-stdin', 'read the value from standard input')
    .option('--value-file <file>', 'read it from a file')
    .option('--value-fd <n>', 'read it from an open descriptor', integer('--value-fd', 0, 1_023))
    .action(
      run(async (io, given: { valueStdin?: boolean; valueFile?: string; valueFd?: number }) => {
        using value = await io.secret(
          { stdin: given.valueStdin, file: given.valueFile, fd: given.valueFd },
          { option: 'value', question: 'Value', isNew: false, maxBytes: MAX_VALUE_BYTES },
        )
        const reply = await io.call('audit.hash', { value_base64: base64Member(value.secret) })
        io.print(reply, String(reply['hash']))
      }),
    )

  audit
    .command('export')
    .description('write a range of the record in a form that proves itself elsewhere')
    .option('--from <seq>', 'first record', integer('--from', 0, Number.MAX_SAFE_INTEGER))
    .option('--to <seq>', 'last record', integer('--to', 0, Number.MAX_SAFE_INTEGER))
    .option('--since <time>', 'from this time on, or an age such as 7d', moment('--since'))
    .option('--until <time>', 'before this time', moment('--until'))
    .option('--out <file>', 'write to a new file instead of stdout')
    .action(run(printExport))

  audit
    .command('prune')
    .description('delete old parts of the record; a signed note stays in their place')
    .requiredOption(
      '--before <time>',
      'what ended before this time, or an age such as 90d',
      moment('--before'),
    )
    .action(
      run(async (io, { before }: { before: number }) => {
        const day = new Date(before).toISOString()
        if (!(await io.confirm(`Delete the record of everything before ${day}?`))) {
          throw new VestryError('USAGE', 'not confirmed', { hint: 'Nothing was deleted' })
        }
        const reply = await io.call('audit.prune', { before })
        io.print(reply, (paint) =>
          facts(
            [
              ['deleted', reply['files']],
              ['through', reply['through_seq']],
            ],
            paint,
          ),
        )
      }),
    )

  audit
    .command('checkpoint')
    .description('sign the end of the record now')
    .action(
      run(async (io) => {
        const reply = await io.call('audit.checkpoint')
        io.print(reply, (paint) => facts(Object.entries(reply), paint))
      }),
    )
}

function withFilterOptions(command: Command): Command {
  return command
    .option('--agent <name>', 'of this agent')
    .option('--actor <actor>', 'by agent:NAME, operator:NAME or system')
    .option('--action <name>', 'with this action, e.g. credential.use')
    .option('--source <name>', 'observed by vault, admin, host …')
    .option('--path <path>', 'on this credential')
    .option('--since <time>', 'from this time on, or an age such as 2h', moment('--since'))
    .option('--until <time>', 'before this time', moment('--until'))
    .option('--denied', 'only refusals')
    .option('--anonymous', 'only of callers without a name')
    .option('--request <id>', 'of this request')
    .option('--txn <id>', 'of this transaction')
    .option('--trace <id>', 'of this trace')
    .option('--decision <id>', 'of this decision')
}

function filterOf(options: FilterOptions): Record<string, unknown> {
  const { agent, actor, action, source, path, since, until, denied, anonymous, txn } = options
  return {
    agent,
    actor,
    action,
    source,
    path,
    since,
    until,
    denied,
    anonymous,
    request_id: options.request,
    txn,
    trace_id: options.trace,
    decision_id: options.decision,
  }
}

async function tail(io: CommandIo, params: Row): Promise<void> {
  const records: Row[] = []
  await io.admin((admin) =>
    admin.call('admin.audit.tail', params, {
      signal: io.signal,
      onMore: (part) => records.push(...rowsOf(part, 'records')),
    }),
  )
  io.print({ records }, recordLines(io, records))
}

/** Ends when it is interrupted, which is the way such a command ends well. */
async function follow(io: CommandIo, params: Row): Promise<void> {
  const { AdminClient } = await import('./admin-client.ts')
  await using admin = await AdminClient.open(io.address, io.signal)
  try {
    await admin.call('admin.audit.tail', params, {
      signal: io.signal,
      timeoutMs: Number.POSITIVE_INFINITY,
      onMore: (part) => {
        for (const record of rowsOf(part, 'records'))
          io.printPart(record, recordLine(record, io.paint))
      },
    })
  } catch (error) {
    if (!io.signal.aborted) throw error
  }
}

function recordLines(io: CommandIo, records: readonly Row[]): string {
  if (records.length === 0) return 'no records\n'
  return records.map((record) => recordLine(record, io.paint)).join('')
}
