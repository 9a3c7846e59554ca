/** `vestry schedule …`: agents that run at times somebody said. */
import { VestryError } from '@vestry/contract/errors'
import { type Command, InvalidArgumentError } from 'commander'
import { type Row, rowsOf } from './cell.ts'
import type { Run } from './command.ts'
import type { Style } from './style.ts'
import { table } from './table.ts'
import { safeText } from './terminal-text.ts'

interface AddFlags {
  readonly agent: string
  readonly cron?: string
  readonly at?: string
  readonly timezone: string
  readonly policy?: string[]
  readonly once?: true
}

const STATUS_STYLES: Readonly<Record<string, Style>> = {
  active: 'green',
  running: 'green',
  paused: 'yellow',
  skipped: 'yellow',
  dead_letter: 'red',
  failed: 'red',
}

export function scheduleCommands(program: Command, run: Run): Command {
  const schedule = program.command('schedule').description('agents that run at times')

  schedule
    .command('list')
    .description('list schedules and when each runs next')
    .action(
      run(async (io) => {
        const reply = await io.call('schedule.list')
        io.print(reply, (paint) =>
          table(
            [
              { title: 'ID', value: 'job_id' },
              { title: 'NAME', value: 'name' },
              { title: 'CRON', value: 'cron_expression' },
              { title: 'TIME ZONE', value: 'timezone' },
              { title: 'STATUS', value: 'status', style: statusStyle },
              { title: 'NEXT RUN', value: 'next_run' },
              { title: 'RUNS', value: 'run_count', align: 'right' },
            ],
            rowsOf(reply, 'schedules'),
            {
              paint,
              empty: 'no schedules; add one with "vestry schedule add NAME --agent ID --cron …"',
            },
          ),
        )
      }),
    )

  schedule
    .command('add')
    .description('have an agent run at times, or once')
    .argument('<name>', 'for people')
    .requiredOption('--agent <id>', 'the agent')
    .option('--cron <expression>', '5, 6 or 7 fields; Sunday is 0 or 7')
    .option('--at <time>', 'one time, such as 2031-04-05T06:00:00Z')
    .option('--timezone <zone>', 'in which the fields of --cron are meant', 'UTC')
    .option('--policy <id>', 'a policy that must exist; may be repeated', collected)
    .option('--once', 'only the first of its times')
    .action(
      run(async (io, name: string, flags: AddFlags) => {
        const { agent, cron, at, timezone, policy = [], once } = flags
        const reply = await io.call('schedule.add', {
          schedule: {
            name,
            agent_name: agent,
            cron_expression: oneOf(cron, at),
            timezone,
            policy_ids: policy,
            one_shot: once === true,
          },
        })
        io.print(
          reply,
          `added ${safeText(String(reply['job_id']))}; next run ${safeText(String(reply['next_run']))}`,
        )
      }),
    )

  const one = (verb: string, description: string, done: string) =>
    schedule
      .command(verb)
      .description(description)
      .argument('<schedule>', 'its id')
      .action(
        run(async (io, id: string) => {
          const reply = await io.call(`schedule.${verb}`, { schedule: id })
          io.print(reply, `${done} ${safeText(id)}`)
        }),
      )
  one('pause', 'run it no more until it is resumed', 'paused')
  one('resume', 'run it again, also after too many failures', 'resumed')
  one('trigger', 'run it once, now', 'triggered')
  one('rm', 'remove it, with its history', 'removed')

  schedule
    .command('history')
    .description('show the runs of a schedule, newest first')
    .argument('<schedule>', 'its id')
    .option('--limit <n>', 'at most this many, 1 to 500', wholeNumber, 50)
    .action(
      run(async (io, id: string, { limit }: { limit: number }) => {
        const reply = await io.call('schedule.history', { schedule: id, limit })
        io.print(reply, (paint) =>
          table(
            [
              { title: 'STARTED', value: 'started_at' },
              { title: 'STATUS', value: 'status', style: statusStyle },
              { title: 'MS', value: 'execution_time_ms', align: 'right' },
              { title: 'ERROR', value: 'error' },
            ],
            rowsOf(reply, 'history'),
            { paint, empty: 'no runs yet' },
          ),
        )
      }),
    )
  return schedule
}

function statusStyle({ status }: Row): Style | undefined {
  return STATUS_STYLES[String(status)]
}

function oneOf(cron: string | undefined, at: string | undefined): string {
  if ((cron === undefined) === (at === undefined))
    throw new VestryError('USAGE', 'Say either --cron or --at')
  return cron ?? at ?? ''
}

function collected(value: string, before: string[] = []): string[] {
  return [...before, value]
}

function wholeNumber(text: string): number {
  if (/^[1-9]\d{0,2}$/.test(text) && Number(text) <= 500) return Number(text)
  throw new InvalidArgumentError('must be 1 to 500')
}
