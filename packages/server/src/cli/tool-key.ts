/** `vestry tool key add | list | revoke`: the keys that tools are signed with. */
import type { Command } from 'commander'
import { rowsOf } from './cell.ts'
import type { Run } from './command.ts'
import { oneOf } from './option-value.ts'
import { facts, table } from './table.ts'
import { safeText } from './terminal-text.ts'

const REASONS = [
  'key_compromise',
  'superseded',
  'cessation_of_operation',
  'privilege_withdrawn',
] as const

export function toolKeyCommands(tool: Command, run: Run): void {
  const key = tool.command('key').description('keys that tools are signed with')

  key
    .command('add')
    .description('make a signing key; the private half stays in the vault')
    .argument('<id>', 'its name, e.g. release')
    .option('--domain <domain>', 'where its public half is published (default: as configured)')
    .option('--developer <name>', 'who signs (default: as configured)')
    .action(
      run(async (io, id: string, options: { domain?: string; developer?: string }) => {
        const { domain, developer } = options
        const asked = { key_id: id, domain, developer_name: developer }
        const reply = await io.call('signing_key.add', asked)
        io.print(reply, (paint) =>
          facts(
            [
              ['key', reply['key_id']],
              ['fingerprint', reply['key_fingerprint']],
              ['domain', reply['domain']],
              ['published at', reply['public_key_url']],
            ],
            paint,
          ),
        )
      }),
    )

  key
    .command('list')
    .description('list signing keys')
    .action(
      run(async (io) => {
        const reply = await io.call('signing_key.list')
        io.print(reply, (paint) =>
          table(
            [
              { title: 'KEY', value: 'key_id' },
              { title: 'STATUS', value: 'status', style: statusStyle },
              { title: 'DOMAIN', value: 'domain' },
              { title: 'CREATED', value: 'created_at' },
              { title: 'FINGERPRINT', value: 'key_fingerprint' },
            ],
            rowsOf(reply, 'keys'),
            { paint, empty: 'no signing keys' },
          ),
        )
      }),
    )

  key
    .command('revoke')
    .description('revoke a signing key: what it signed does not count any more')
    .argument('<id>', 'the key')
    .option(
      '--reason <reason>',
      `one of ${REASONS.join(', ')} (default: superseded)`,
      oneOf('--reason', REASONS),
    )
    .action(
      run(async (io, id: string, { reason }: { reason?: string }) => {
        const question = `Revoke the signing key ${safeText(id)}? Every tool it signed counts as unsigned.`
        if (!(await io.confirm(question))) return io.note('Nothing was done.')
        const reply = await io.call('signing_key.revoke', { key_id: id, reason })
        io.print(reply, `revoked ${safeText(String(reply['key_id']))}`)
      }),
    )
}

function statusStyle({ status }: { status?: unknown }) {
  return status === 'revoked' ? ('red' as const) : undefined
}
