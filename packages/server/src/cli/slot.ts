/** `vestry slot add | rm | list`: the ways to open the vault. */
import { VestryError } from '@vestry/contract/errors'
import type { Command } from 'commander'
import { base64Member } from './base64-member.ts'
import { rowOf, rowsOf } from './cell.ts'
import type { Run } from './command.ts'
import type { CommandIo } from './command-io.ts'
import { notATerminal } from './key.ts'
import { integer, oneOf } from './option-value.ts'
import {
  keyFileMember,
  type NewSecretOptions,
  newPassphraseOf,
  type ProofOptions,
  proofMembers,
  withNewPassphraseOptions,
  withProofOptions,
} from './proof.ts'
import { SHARES_NOTE, shareLines, takeShares } from './shares.ts'
import { facts, table } from './table.ts'

const TYPES = ['passphrase', 'keyfile', 'shamir'] as const
type SlotType = (typeof TYPES)[number]

interface AddOptions extends ProofOptions, NewSecretOptions {
  label?: string
  shares?: number
  threshold?: number
  newKeyfile?: string
  forceStdout?: boolean
}

export function slotCommands(program: Command, run: Run): void {
  const slot = program.command('slot').description('the ways to open the vault')

  withNewPassphraseOptions(withProofOptions(slot.command('add')))
    .description('add a way to open the vault; needs one that works')
    .argument('<type>', `one of ${TYPES.join(', ')}`, oneOf('<type>', TYPES))
    .option('--label <text>', 'a name for it')
    .option('--shares <n>', 'shamir: how many shares (default: 5)', integer('--shares', 2, 255))
    .option(
      '--threshold <k>',
      'shamir: how many open it (default: 3)',
      integer('--threshold', 2, 255),
    )
    .option('--new-keyfile <file>', 'keyfile: its file; made when it is not there')
    .option('--force-stdout', 'show shares even when stdout is no terminal')
    .action(
      run(async (io, type: SlotType, options: AddOptions) => {
        if (type === 'shamir' && !io.mayShowSecret(options.forceStdout)) throw notATerminal()
        const proof = await proofMembers(io, options)
        const reply = await io.call('slot.add', {
          type,
          label: options.label,
          shares: options.shares,
          threshold: options.threshold,
          ...(await newSecret(io, type, options)),
          ...proof,
        })
        const { rest, shares } = takeShares(reply)
        const document = { ...rest, ...(shares.length > 0 && { shares }) }
        io.print(
          document,
          (paint) => facts(slotFacts(rowOf(rest, 'slot')), paint) + shareLines(shares, paint),
        )
        if (shares.length > 0) io.note(SHARES_NOTE)
      }),
    )

  withProofOptions(slot.command('rm'))
    .description('remove a way to open the vault')
    .argument('<id>', 'the slot')
    .action(
      run(async (io, id: string, options: ProofOptions) => {
        const reply = await io.call('slot.remove', { id, ...(await proofMembers(io, options)) })
        io.print(reply, `removed slot ${String(reply['removed'])}`)
      }),
    )

  slot
    .command('list')
    .description('list the ways to open the vault')
    .action(
      run(async (io) => {
        const reply = await io.call('slot.list')
        io.print(reply, (paint) =>
          table(
            [
              { title: 'ID', value: 'id' },
              { title: 'TYPE', value: 'type' },
              { title: 'LABEL', value: 'label' },
              { title: 'CREATED', value: 'created_at' },
              { title: 'USABLE', value: 'usable' },
            ],
            rowsOf(reply, 'slots'),
            { paint, empty: 'no slots' },
          ),
        )
      }),
    )
}

export function slotFacts(slot: Readonly<Record<string, unknown>>): [string, unknown][] {
  return [
    ['slot', slot['id']],
    ['type', slot['type']],
    ['label', slot['label']],
    ['created', slot['created_at']],
  ]
}

async function newSecret(
  io: CommandIo,
  type: SlotType,
  options: AddOptions,
): Promise<Record<string, string>> {
  switch (type) {
    case 'shamir':
      return {}
    case 'keyfile': {
      if (options.newKeyfile === undefined) {
        throw new VestryError('USAGE', 'a keyfile slot needs --new-keyfile', {
          hint: 'Keep the file on another disk than the data',
        })
      }
      const { ensureKeyFile } = await import('./unseal-keyfile.ts')
      await ensureKeyFile(io, options.newKeyfile)
      return { new_keyfile_base64: await keyFileMember(io, options.newKeyfile) }
    }
    case 'passphrase': {
      using given = await io.passphrase(newPassphraseOf(options), 'New passphrase', {
        option: 'new-passphrase',
        isNew: true,
      })
      return { new_passphrase_base64: base64Member(given.secret) }
    }
    default:
      return type satisfies never
  }
}
