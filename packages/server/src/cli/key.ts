/** `vestry key add | list | revoke`: API keys for the HTTP APIs. A key is shown once. */
import { VestryError } from '@vestry/contract/errors'
import type { Command } from 'commander'
import { rowsOf } from './cell.ts'
import type { Run } from './command.ts'
import { futureMoment, oneOf } from './option-value.ts'
import { facts, table } from './table.ts'

const ROLES = ['operator', 'owner', 'admin', 'auditor', 'approver'] as const

interface AddOptions {
  name?: string
  role?: string
  agent?: string
  expires?: number
  forceStdout?: boolean
}

export function keyCommands(program: Command, run: Run): void {
  const key = program.command('key').description('API keys for the HTTP APIs')

  key
    .command('add')
    .description('make an API key; it is shown once')
    .option(
      '--role <role>',
      `one of ${ROLES.join(', ')} (default: operator)`,
      oneOf('--role', ROLES),
    )
    .option('--agent <name>', 'a key that acts as this agent')
    .option('--name <name>', 'what the key is for')
    .option('--expires <time>', 'when it ends, e.g. 2027-01-31', futureMoment('--expires'))
    .option('--force-stdout', 'show the key even when stdout is no terminal')
    .action(
      run(async (io, { name, role, agent, expires, forceStdout }: AddOptions) => {
        if (role !== undefined && agent !== undefined) {
          throw new VestryError('USAGE', '--role and --agent exclude each other')
        }
        if (!io.mayShowSecret(forceStdout)) throw notATerminal()
        const reply = await io.call('key.add', { name, role, agent, expires_at: expires })
        const { key: token, ...record } = reply
        io.print(reply, (paint) => facts([...Object.entries(record), ['key', token]], paint))
        io.note('The key is not stored and cannot be shown again.')
      }),
    )

  key
    .command('list')
    .description('list API keys')
    .action(
      run(async (io) => {
        const reply = await io.call('key.list')
        io.print(reply, (paint) =>
          table(
            [
              { title: 'ID', value: 'id' },
              { title: 'NAME', value: 'name' },
              { title: 'ROLE', value: 'role' },
              { title: 'AGENT', value: 'agent' },
              { title: 'CREATED', value: 'created_at' },
              { title: 'EXPIRES', value: 'expires_at' },
              { title: 'STATUS', value: 'status' },
            ],
            rowsOf(reply, 'keys'),
            { paint, empty: 'no API keys' },
          ),
        )
      }),
    )

  key
    .command('revoke')
    .description('end an API key')
    .argument('<id>', 'the part of the key before the dot')
    .action(
      run(async (io, id: string) => {
        // A whole key pasted here must not travel into the record as an id.
        const reply = await io.call('key.revoke', { id: id.split('.')[0] })
        io.print(reply, `revoked ${String(reply['id'])}`)
      }),
    )
}

export function notATerminal(): VestryError {
  return new VestryError('USAGE', 'this shows a secret, and stdout is no terminal', {
    hint: 'Add --force-stdout or --json if it is meant to go there',
  })
}
