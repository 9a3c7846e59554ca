/** `vestry lease list | revoke`: who holds what, until when; and taking it back. */
import { VestryError } from '@vestry/contract/errors'
import type { Command } from 'commander'
import { counted, rowsOf } from './cell.ts'
import type { Run } from './command.ts'
import { integer } from './option-value.ts'
import { table } from './table.ts'

interface ListOptions {
  agent?: string
  path?: string
  prefix?: string
  failed?: boolean
  limit?: number
}

export function leaseCommands(program: Command, run: Run): void {
  const lease = program.command('lease').description('live leases on credentials')

  lease
    .command('list')
    .description('list live leases')
    .option('--agent <name>', 'only leases of this agent')
    .option('--path <path>', 'only leases on this credential')
    .option('--prefix <path>', 'only leases on credentials below this path')
    .option('--failed', 'only leases whose revocation failed upstream')
    .option('--limit <n>', 'at most this many', integer('--limit', 1, 5_000))
    .action(
      run(async (io, options: ListOptions) => {
        const { agent, path, prefix, failed, limit } = options
        const reply = await io.call('lease.list', { agent, path, prefix, failed, limit })
        io.print(reply, (paint) =>
          table(
            [
              { title: 'LEASE', value: 'lease_id' },
              { title: 'AGENT', value: 'agent' },
              { title: 'PATH', value: 'path' },
              { title: 'KIND', value: 'kind' },
              { title: 'EXPIRES', value: 'expires_at' },
              { title: 'POLICY', value: 'policy' },
            ],
            rowsOf(reply, 'leases'),
            { paint, empty: 'no live leases' },
          ),
        )
      }),
    )

  lease
    .command('revoke')
    .description('end one lease, or all of an agent or below a path')
    .argument('[lease-id]', 'the lease')
    .option('--prefix <path>', 'all leases on credentials below this path')
    .option('--agent <name>', 'all leases of this agent')
    .action(
      run(async (io, id: string | undefined, { prefix, agent }: ListOptions) => {
        if ([id, prefix, agent].filter((given) => given !== undefined).length !== 1) {
          throw new VestryError('USAGE', 'give exactly one of a lease id, --prefix and --agent', {
            hint: 'See "vestry lease list"',
          })
        }
        const reply = await io.call('lease.revoke', { id, prefix, agent })
        io.print(reply, `revoked ${counted(reply['revoked'], 'lease')}`)
      }),
    )
}
