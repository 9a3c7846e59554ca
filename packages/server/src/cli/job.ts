/** `vestry job list | show`: tool calls that were kept in the journal, and what came of them. */
import { VestryError } from '@vestry/contract/errors'
import type { Command } from 'commander'
import { agentNames } from './agent-names.ts'
import { type Row, rowOf, rowsOf } from './cell.ts'
import type { Run } from './command.ts'
import { integer, oneOf } from './option-value.ts'
import type { Paint } from './style.ts'
import { facts, table } from './table.ts'
import { jsonText } from './terminal-text.ts'

/** As the journal knows them; clients see queued, running, done and failed. */
const STATES = ['reserved', 'sent', 'done', 'failed', 'unknown'] as const

export function jobCommands(program: Command, run: Run): void {
  const job = program.command('job').description('jobs, and calls that must not happen twice')

  job
    .command('list')
    .description('list jobs and other calls that are kept')
    .option('--state <state>', `one of ${STATES.join(', ')}`, oneOf('--state', STATES))
    .option('--limit <n>', 'at most this many (default: 50)', integer('--limit', 1, 1_000))
    .action(
      run(async (io, options: { state?: string; limit?: number }) => {
        const { reply, nameOf } = await io.admin(async (admin) => ({
          reply: await admin.call('admin.job.list', {
            state: options.state,
            limit: options.limit,
          }),
          nameOf: io.json ? undefined : await agentNames(admin),
        }))
        io.print(reply, (paint) =>
          table(
            [
              { title: 'JOB', value: 'job_id' },
              { title: 'CALL', value: 'subject' },
              { title: 'AGENT', value: ({ agent_id }) => nameOf?.(agent_id) ?? agent_id },
              { title: 'MODE', value: 'mode' },
              {
                title: 'STATE',
                value: 'state',
                style: ({ state }) =>
                  state === 'failed' || state === 'unknown' ? 'red' : undefined,
              },
              { title: 'ERROR', value: 'error_code' },
              { title: 'BEGUN', value: 'attempts', align: 'right' },
              { title: 'CREATED', value: 'created_at' },
              { title: 'FINISHED', value: 'finished_at' },
            ],
            rowsOf(reply, 'jobs'),
            { paint, empty: 'no jobs' },
          ),
        )
      }),
    )

  job
    .command('show')
    .description('show a job and its result')
    .argument('<id>', 'the job')
    .action(
      run(async (io, id: string) => {
        const reply = await io.call('job.show', { id }).catch((error: unknown) => {
          throw isUnknown(error) ? noSuchJob(error) : error
        })
        io.print(reply, (paint) => jobText(reply, paint))
      }),
    )
}

/** The answer to clients says no more, so that nobody learns which ids exist. */
function isUnknown(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'JOB_NOT_FOUND'
}

function noSuchJob(cause: unknown): VestryError {
  return new VestryError('JOB_NOT_FOUND', 'there is no such job, or its result was forgotten', {
    hint: 'See "vestry job list"; "vestry trace ID" still tells what was recorded',
    cause,
  })
}

function jobText(reply: Row, paint: Paint): string {
  const { agent_name, agent_id, tool, action, response_time_ms: took } = rowOf(reply, 'metadata')
  const head = facts(
    [
      ['job', reply['job_id']],
      ['call', `${String(tool)}:${String(action)}`],
      ['agent', agent_name ?? agent_id],
      ['status', reply['status']],
      ['error', reply['error'] ?? undefined],
      ['error code', reply['error_code']],
      ['created', reply['created_at']],
      ['started', reply['started_at']],
      ['finished', reply['finished_at']],
      ['took', took === undefined ? undefined : `${String(took)} ms`],
      ['forgotten', reply['expires_at']],
    ],
    paint,
  )
  const { result } = reply
  return result === null || result === undefined
    ? head
    : `${head}\n${paint('dim', 'result:')}\n${jsonText(result)}`
}
