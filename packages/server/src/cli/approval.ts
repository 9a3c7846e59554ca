/** `vestry approval list | allow | deny`: what waits for a person's yes. */
import type { Command } from 'commander'
import { rowsOf } from './cell.ts'
import type { Run } from './command.ts'
import { oneOf, seconds } from './option-value.ts'
import { facts, table } from './table.ts'

const STATES = ['pending', 'allowed', 'denied', 'used'] as const
const A_DAY = 86_400

export function approvalCommands(program: Command, run: Run): void {
  const approval = program.command('approval').description('requests that wait for a yes')

  approval
    .command('list')
    .description('list requests for approval')
    .option('--state <state>', `one of ${STATES.join(', ')}`, oneOf('--state', STATES))
    .action(
      run(async (io, { state }: { state?: string }) => {
        const reply = await io.call('approval.list', { state })
        io.print(reply, (paint) =>
          table(
            [
              { title: 'ID', value: 'id' },
              {
                title: 'STATE',
                value: 'state',
                style: (row) => (row['state'] === 'pending' ? 'yellow' : undefined),
              },
              { title: 'AGENT', value: 'agent' },
              { title: 'WOULD', value: 'summary' },
              { title: 'WITH', value: 'resource' },
              { title: 'ITS REASON', value: 'reason' },
              { title: 'POLICY', value: 'policy_id' },
              { title: 'ASKED', value: 'requested_at' },
              { title: 'LAPSES', value: 'expires_at' },
            ],
            rowsOf(reply, 'approvals'),
            { paint, empty: 'no requests' },
          ),
        )
      }),
    )

  approval
    .command('allow')
    .description('say yes, for one use or for a while')
    .argument('<id>', 'the request')
    .option('--for <duration>', 'repeat freely for this long, e.g. 30m', seconds('--for', A_DAY))
    .action(
      run(async (io, id: string, options: { for?: number }) => {
        const reply = await io.call('approval.allow', { id, for_s: options.for })
        io.print(reply, (paint) => facts(Object.entries(reply), paint))
      }),
    )

  approval
    .command('deny')
    .description('say no')
    .argument('<id>', 'the request')
    .action(
      run(async (io, id: string) => {
        const reply = await io.call('approval.deny', { id })
        io.print(reply, (paint) => facts(Object.entries(reply), paint))
      }),
    )
}
