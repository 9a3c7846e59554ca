/** `vestry seal | unseal | passwd | rotate-root | rotate-keyring`: opening, closing and re-keying the vault. */
import type { Command } from 'commander'
import { base64Member } from './base64-member.ts'
import { counted, rowOf } from './cell.ts'
import type { Run } from './command.ts'
import type { CommandIo } from './command-io.ts'
import { declined } from './cred.ts'
import { integer } from './option-value.ts'
import {
  type NewSecretOptions,
  newPassphraseOf,
  type ProofOptions,
  passphraseOf,
  proofMembers,
  withNewPassphraseOptions,
  withPassphraseOptions,
  withProofOptions,
} from './proof.ts'
import { slotFacts } from './slot.ts'
import { facts } from './table.ts'

const MAX_SHARE_BYTES = 256

interface UnsealOptions extends ProofOptions {
  share?: boolean
  shareFile?: string
  shareFd?: number
  shareStdin?: boolean
  reset?: boolean
}

export function sealCommands(program: Command, run: Run): void {
  program
    .command('seal')
    .description('close the vault: wipe its keys, end leases and sessions')
    .action(
      run(async (io) => {
        const reply = await io.call('seal')
        io.print(reply, 'sealed')
      }),
    )

  withProofOptions(program.command('unseal'))
    .description('open the vault')
    .option('--share', 'enter one recovery share')
    .option('--share-file <file>', 'read the share from a file')
    .option('--share-fd <n>', 'read it from an open descriptor', integer('--share-fd', 0, 1_023))
    .option('--share-stdin', 'read it from standard input')
    .option('--reset', 'forget the shares entered so far')
    .action(
      run(async (io, options: UnsealOptions) => {
        if (options.reset === true) {
          const reply = await io.anonymous((admin) => admin.call('admin.unseal_reset'))
          io.print(reply, 'the shares entered so far are forgotten')
          return
        }
        // Asked only when there is a daemon to give the answer to.
        await io.anonymous((admin) => admin.call('ping'))
        const members = await unsealMembers(io, options)
        const reply = await io.anonymous((admin) => admin.call('admin.unseal', members))
        io.print(reply, (paint) => {
          if (reply['sealed'] === false) return paint('green', 'unsealed')
          const { have, need } = rowOf(reply, 'progress')
          return `${String(have)} of ${String(need)} shares given; the vault is still sealed`
        })
        const failed = reply['failed_attempts']
        if (typeof failed === 'number' && failed > 0) {
          io.warn(`${counted(failed, 'attempt')} to unseal failed since the last success`)
        }
      }),
    )

  withNewPassphraseOptions(withPassphraseOptions(program.command('passwd')))
    .description('change the passphrase')
    .action(
      run(async (io, options: ProofOptions & NewSecretOptions) => {
        await io.anonymous((admin) => admin.call('ping'))
        using current = await io.passphrase(passphraseOf(options), 'Current passphrase')
        using next = await io.passphrase(newPassphraseOf(options), 'New passphrase', {
          option: 'new-passphrase',
          isNew: true,
        })
        const reply = await io.call('passwd', {
          passphrase_base64: base64Member(current.secret),
          new_passphrase_base64: base64Member(next.secret),
        })
        io.print(reply, (paint) => facts(slotFacts(rowOf(reply, 'slot')), paint))
        io.note('The passphrase is changed.')
      }),
    )

  withProofOptions(program.command('rotate-root'))
    .description('make a new root key; ways in whose secret is not given are dropped')
    .action(
      run(async (io, options: ProofOptions) => {
        await io.anonymous((admin) => admin.call('ping'))
        if (
          !(await io.confirm(
            'Make a new root key? Slots whose secret you do not give are dropped.',
          ))
        ) {
          throw declined()
        }
        const reply = await io.call('rotate_root', await rootProofs(io, options))
        io.print(reply, (paint) => facts(Object.entries(reply), paint))
      }),
    )

  program
    .command('rotate-keyring')
    .description('begin a new term key; data keys are re-wrapped in the background')
    .action(
      run(async (io) => {
        const reply = await io.call('rotate_term')
        io.print(reply, `term ${String(reply['term'])} begins; data keys are being re-wrapped`)
      }),
    )
}

async function unsealMembers(
  io: CommandIo,
  options: UnsealOptions,
): Promise<Record<string, string>> {
  const { share, shareFile: file, shareFd: fd, shareStdin: stdin } = options
  if (share !== true && file === undefined && fd === undefined && stdin !== true) {
    return proofMembers(io, options)
  }
  using given = await io.secret(
    { file, fd, stdin },
    { option: 'share', question: 'Share', isNew: false, maxBytes: MAX_SHARE_BYTES },
  )
  return { share: Buffer.from(given.secret.bytes).toString('latin1').trim() }
}

/** For the root both may be given: each keeps its slot. */
async function rootProofs(io: CommandIo, options: ProofOptions): Promise<Record<string, string>> {
  const { keyfile, ...passphrase } = options
  if (keyfile === undefined) return proofMembers(io, passphrase)
  const byFile = await proofMembers(io, { keyfile })
  const isGiven = Object.values(passphraseOf(passphrase)).some((value) => value !== undefined)
  return isGiven ? { ...byFile, ...(await proofMembers(io, passphrase)) } : byFile
}
