/** `vestry session list | revoke`: who is logged in; and logging them out. */
import { VestryError } from '@vestry/contract/errors'
import type { Command } from 'commander'
import { counted, rowsOf } from './cell.ts'
import type { Run } from './command.ts'
import { table } from './table.ts'

export function sessionCommands(program: Command, run: Run): void {
  const session = program.command('session').description('sessions of agents and operators')

  session
    .command('list')
    .description('list sessions')
    .option('--agent <name>', 'only sessions of this agent')
    .action(
      run(async (io, { agent }: { agent?: string }) => {
        const reply = await io.call('session.list', { agent })
        io.print(reply, (paint) =>
          table(
            [
              { title: 'TXN', value: 'txn' },
              { title: 'WHO', value: 'actor' },
              { title: 'OVER', value: 'transport' },
              { title: 'FROM', value: (row) => row['address'] ?? peer(row['pid'], row['uid']) },
              { title: 'SINCE', value: 'created_at' },
              { title: 'UNTIL', value: 'expires_at' },
            ],
            rowsOf(reply, 'sessions'),
            { paint, empty: 'no sessions' },
          ),
        )
      }),
    )

  session
    .command('revoke')
    .description('end one session, or all of an agent; leases stay')
    .argument('[txn]', 'the transaction the session acts in')
    .option('--agent <name>', 'all sessions of this agent')
    .action(
      run(async (io, txn: string | undefined, { agent }: { agent?: string }) => {
        if ((txn === undefined) === (agent === undefined)) {
          throw new VestryError('USAGE', 'give either a transaction or --agent', {
            hint: 'See "vestry session list"',
          })
        }
        const reply = await io.call('session.revoke', { txn, agent })
        io.print(reply, `ended ${counted(reply['ended'], 'session')}`)
      }),
    )
}

function peer(pid: unknown, uid: unknown): string | undefined {
  return typeof pid === 'number' ? `pid ${pid} uid ${String(uid)}` : undefined
}
