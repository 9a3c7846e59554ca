/** `vestry claim list | revoke`: which process is which agent; and taking it back. */
import { VestryError } from '@vestry/contract/errors'
import type { Command } from 'commander'
import { counted, rowsOf } from './cell.ts'
import type { Run } from './command.ts'
import { table } from './table.ts'

export function claimCommands(program: Command, run: Run): void {
  const claim = program
    .command('claim')
    .description('processes that have said which agent they are')

  claim
    .command('list')
    .description('list live claims')
    .option('--agent <name>', 'only claims of this agent')
    .action(
      run(async (io, { agent }: { agent?: string }) => {
        const reply = await io.call('claim.list', { agent })
        io.print(reply, (paint) =>
          table(
            [
              { title: 'CLAIM', value: 'claim_id' },
              { title: 'AGENT', value: 'agent' },
              { title: 'PID', value: 'pid', align: 'right' },
              { title: 'UID', value: 'uid', align: 'right' },
              { title: 'SCOPE', value: 'scope' },
              { title: 'CAPABILITIES', value: 'capabilities' },
              { title: 'EXPIRES', value: 'expires_at' },
              { title: 'NODE', value: 'node' },
            ],
            rowsOf(reply, 'claims'),
            { paint, empty: 'no live claims' },
          ),
        )
      }),
    )

  claim
    .command('revoke')
    .description('end one claim, or all of an agent: its processes are anonymous from then on')
    .argument('[claim-id]', 'the claim')
    .option('--agent <name>', 'all claims of this agent')
    .action(
      run(async (io, id: string | undefined, { agent }: { agent?: string }) => {
        if ((id === undefined) === (agent === undefined)) {
          throw new VestryError('USAGE', 'give exactly one of a claim id and --agent', {
            hint: 'See "vestry claim list"',
          })
        }
        const reply = await io.call('claim.revoke', { id, agent })
        io.print(reply, `revoked ${counted(reply['revoked'], 'claim')}`)
      }),
    )
}
