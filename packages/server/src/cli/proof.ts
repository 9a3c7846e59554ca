/** What opens the vault, as options: a passphrase or a key file; asked for when none is given. */
import { VestryError } from '@vestry/contract/errors'
import type { Command } from 'commander'
import { base64Member } from './base64-member.ts'
import type { CommandIo } from './command-io.ts'
import { integer } from './option-value.ts'
import { passphraseSource, type SecretSource } from './secret-input.ts'

export interface ProofOptions {
  passphraseFile?: string
  passphraseFd?: number
  passphraseStdin?: boolean
  keyfile?: string
}

export interface NewSecretOptions {
  newPassphraseFile?: string
  newPassphraseFd?: number
  newPassphraseStdin?: boolean
}

const MAX_FD = 1_023
/** 32 raw bytes, or 64 hex digits and a line end. */
const MAX_KEYFILE_BYTES = 66

export function withProofOptions(command: Command): Command {
  return withPassphraseOptions(command).option(
    '--keyfile <file>',
    'a key file that opens the vault',
  )
}

export function withPassphraseOptions(command: Command): Command {
  return command
    .option('--passphrase-file <file>', 'read the passphrase from a file')
    .option(
      '--passphrase-fd <n>',
      'read it from an open descriptor',
      integer('--passphrase-fd', 0, MAX_FD),
    )
    .option('--passphrase-stdin', 'read it from standard input')
}

export function withNewPassphraseOptions(command: Command): Command {
  return command
    .option('--new-passphrase-file <file>', 'read the new passphrase from a file')
    .option(
      '--new-passphrase-fd <n>',
      'read it from an open descriptor',
      integer('--new-passphrase-fd', 0, MAX_FD),
    )
    .option('--new-passphrase-stdin', 'read it from standard input')
}

export function passphraseOf(options: ProofOptions): SecretSource {
  return {
    file: options.passphraseFile,
    fd: options.passphraseFd,
    stdin: options.passphraseStdin,
  }
}

export function newPassphraseOf(options: NewSecretOptions): SecretSource {
  return {
    file: options.newPassphraseFile,
    fd: options.newPassphraseFd,
    stdin: options.newPassphraseStdin,
  }
}

/** Members `passphrase_base64` or `keyfile_base64` of a request. */
export async function proofMembers(
  io: CommandIo,
  options: ProofOptions,
  question = 'Passphrase of the vault',
): Promise<Record<string, string>> {
  if (options.keyfile !== undefined) {
    if (Object.values(passphraseOf(options)).some((given) => given !== undefined)) {
      throw new VestryError('USAGE', '--keyfile and a passphrase exclude each other')
    }
    return { keyfile_base64: await keyFileMember(io, options.keyfile) }
  }
  using given = await io.passphrase(passphraseSource(passphraseOf(options), io.env), question)
  return { passphrase_base64: base64Member(given.secret) }
}

export async function keyFileMember(io: CommandIo, file: string): Promise<string> {
  using content = await io.secret(
    { file },
    {
      option: 'keyfile',
      question: 'Key file',
      isNew: false,
      maxBytes: MAX_KEYFILE_BYTES,
      raw: true,
    },
  )
  const member = base64Member(content.secret)
  return member
}
