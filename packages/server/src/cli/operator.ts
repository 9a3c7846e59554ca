/** `vestry operator add | list | revoke`: people who administer. The private key is made here and stays here. */
import { join } from 'node:path'
import { VestryError } from '@vestry/contract/errors'
import type { Command } from 'commander'
import { rowsOf } from './cell.ts'
import type { Run } from './command.ts'
import { oneOf } from './option-value.ts'
import { facts, table } from './table.ts'

const ROLES = ['owner', 'admin', 'auditor', 'approver'] as const

interface AddOptions {
  role: string
  publicKey?: string
  out?: string
}

export function operatorCommands(program: Command, run: Run): void {
  const operator = program.command('operator').description('operators and their roles')

  operator
    .command('add')
    .description('add an operator; makes a key file unless a public key is given')
    .argument('<name>', 'name to log in as')
    .requiredOption('--role <role>', `one of ${ROLES.join(', ')}`, oneOf('--role', ROLES))
    .option('--public-key <hex>', 'Ed25519 public key, 64 hex digits')
    .option('--out <dir>', 'directory of the new key file (default: keys in the home)')
    .action(
      run(async (io, name: string, { role, publicKey, out }: AddOptions) => {
        const { withNewKeyFiles } = await import('./agent-keys.ts')
        const register = (hex: string) =>
          io.call('operator.add', { name, role, public_key: hex.toLowerCase() })
        if (publicKey !== undefined) {
          if (out !== undefined)
            throw new VestryError('USAGE', '--out and --public-key exclude each other')
          const reply = await register(publicKey)
          io.print(reply, (paint) => facts(Object.entries(reply), paint))
          return
        }
        const { result, files } = await withNewKeyFiles(
          { dirs: [out ?? io.home.keys], name: `operator-${name}` },
          register,
        )
        const document = { ...result, key_file: files[0]?.keyFile }
        io.print(document, (paint) => facts(Object.entries(document), paint))
        if (out !== undefined)
          io.note(
            `They log in with --operator ${name} --operator-key ${join(out, `operator-${name}.key`)}`,
          )
        else io.note(`They log in with --operator ${name}`)
      }),
    )

  operator
    .command('list')
    .description('list operators')
    .action(
      run(async (io) => {
        const reply = await io.call('operator.list')
        io.print(reply, (paint) =>
          table(
            [
              { title: 'NAME', value: 'name' },
              { title: 'ROLE', value: 'role' },
              { title: 'STATUS', value: 'status' },
              { title: 'PUBLIC KEY', value: 'public_key' },
              { title: 'CREATED', value: 'created_at' },
            ],
            rowsOf(reply, 'operators'),
            { paint, empty: 'no operators' },
          ),
        )
      }),
    )

  operator
    .command('revoke')
    .description('end an operator and their sessions')
    .argument('<name>', 'the operator')
    .action(
      run(async (io, name: string) => {
        const reply = await io.call('operator.revoke', { name })
        io.print(reply, `revoked operator ${String(reply['name'])}`)
      }),
    )
}
