/** `vestry init`: makes the vault in an empty home. Recovery shares are shown once. */
import { chmodSync, existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { VestryError } from '@vestry/contract/errors'
import type { Command } from 'commander'
import { describeSlot } from '../admin/slot-reply.ts'
import type { Config } from '../app/config.ts'
import type { Initialised } from '../app/initialise.ts'
import type { SlotSpec } from '../seal/slot.ts'
import type { Run } from './command.ts'
import type { CommandIo } from './command-io.ts'
import { notATerminal } from './key.ts'
import { integer } from './option-value.ts'
import { type ProofOptions, passphraseOf, withPassphraseOptions } from './proof.ts'
import { hasSource, passphraseSource } from './secret-input.ts'
import { SHARES_NOTE, shareLines } from './shares.ts'
import { facts } from './table.ts'

interface InitOptions extends ProofOptions {
  shares?: number
  threshold?: number
  store?: string
  config?: string
  forceStdout?: boolean
}

export function initCommand(program: Command, run: Run): void {
  withPassphraseOptions(program.command('init'))
    .description('make the vault: the first start of a home')
    .option('--shares <n>', 'recovery shares that open it together', integer('--shares', 2, 255))
    .option('--threshold <k>', 'how many of them it takes', integer('--threshold', 2, 255))
    .option('--keyfile <file>', 'a key file that opens it at start; made when it is not there')
    .option('--store <url>', 'store to make it in (default: as configured)')
    .option('--config <file>', 'configuration file (default: vestry.yaml in the home)')
    .option('--force-stdout', 'show shares even when stdout is no terminal')
    .action(
      run(async (io, options: InitOptions) => {
        if (options.threshold !== undefined && options.shares === undefined) {
          throw new VestryError('USAGE', '--threshold needs --shares')
        }
        if (options.shares !== undefined && !io.mayShowSecret(options.forceStdout))
          throw notATerminal()
        const made = await initialiseHome(io, options)
        const shares = made.shares.flatMap(({ shares }) =>
          shares.map((share) => Buffer.from(share.bytes).toString('latin1')),
        )
        for (const split of made.shares) for (const share of split.shares) share[Symbol.dispose]()
        const document = {
          vault_id: made.vaultId,
          home: io.home.dir,
          operator_key_file: made.operatorKeyFile,
          admin_key_file: made.adminKeyFile,
          slots: made.slots.map(describeSlot),
          ...(shares.length > 0 && { shares }),
        }
        io.print(
          document,
          (paint) =>
            facts(
              [
                ['vault', made.vaultId],
                ['home', io.home.dir],
                ['operator key', made.operatorKeyFile],
                ['admin key', made.adminKeyFile],
                ['slots', made.slots.map(({ type }) => type)],
              ],
              paint,
            ) + shareLines(shares, paint),
        )
        if (shares.length > 0) io.note(SHARES_NOTE)
        io.note(next(options))
      }),
    )
}

async function initialiseHome(io: CommandIo, options: InitOptions): Promise<Initialised> {
  const [{ initialise, makeHome }, { openAudit, openHomeStore }, { loadConfig }] =
    await Promise.all([
      import('../app/initialise.ts'),
      import('../app/assemble.ts'),
      import('../app/config.ts'),
    ])
  const { home } = io
  const file = options.config ?? home.config
  const config = loadConfig(file, io.env, { required: options.config !== undefined })
  if (existsSync(home.operatorKey)) throw alreadyThere(home.dir)
  using slots = await slotsOf(io, options)
  process.umask(0o077)
  makeHome(home)
  // Awaited here: the secrets are wiped as this function returns.
  return await io.busy('making the vault', async () => {
    // The log carries the instance lock: no daemon can be at work in this home.
    const audit = await openAudit(home, config, false)
    try {
      const store = await openHomeStore(home, config, options.store)
      try {
        const made = await initialise({
          home,
          store,
          slots: slots.specs,
          dev: false,
          trustDomain: config.identity.trust_domain,
          defaultPolicies: config.gateway.seed_default_policies,
          now: Date.now,
        })
        await audit.append(
          {
            action: 'vault.init',
            phase: 'single',
            detail: 'vault created',
            success: true,
            actor: 'system',
            source: 'host',
            data: { vault_id: made.vaultId, slots: made.slots.length },
          },
          'synced',
        )
        if (options.keyfile !== undefined)
          await rememberKeyFile(io, file, config, resolve(options.keyfile))
        return made
      } finally {
        await store.close()
      }
    } finally {
      await audit.close()
    }
  })
}

/** A passphrase unless shares alone are wanted, shares, a key file: in the order they are listed. */
async function slotsOf(
  io: CommandIo,
  options: InitOptions,
): Promise<{ specs: SlotSpec[] } & Disposable> {
  using stack = new DisposableStack()
  const specs: SlotSpec[] = []
  const source = passphraseSource(passphraseOf(options), io.env)
  if (hasSource(source) || options.shares === undefined) {
    const given = stack.use(
      await io.passphrase(source, 'Passphrase of the new vault', { isNew: true }),
    )
    specs.push({ type: 'passphrase', passphrase: given.secret.bytes, label: 'first passphrase' })
  }
  if (options.keyfile !== undefined) {
    const { ensureKeyFile } = await import('./unseal-keyfile.ts')
    const { loadKeyFile } = await import('../seal/keyfile-load.ts')
    await ensureKeyFile(io, resolve(options.keyfile))
    const key = stack.use(await loadKeyFile(resolve(options.keyfile)))
    specs.push({ type: 'keyfile', keyfile: key.bytes, label: 'key file' })
  }
  if (options.shares !== undefined) {
    specs.push({
      type: 'shamir',
      shares: options.shares,
      ...(options.threshold !== undefined && { threshold: options.threshold }),
      label: 'recovery shares',
    })
  }
  const held = stack.move()
  return { specs, [Symbol.dispose]: () => held.dispose() }
}

/** Writes `vault.keyfile` into the configuration, leaving comments and order as they are. */
async function rememberKeyFile(
  io: CommandIo,
  file: string,
  config: Config,
  path: string,
): Promise<void> {
  if (config.vault.keyfile === path) return
  const { parseDocument } = await import('yaml')
  const document = parseDocument(existsSync(file) ? readFileSync(file, 'utf8') : '')
  document.setIn(['vault', 'keyfile'], path)
  const draft = `${file}.${process.pid}`
  writeFileSync(draft, document.toString(), { mode: 0o600, flush: true })
  chmodSync(draft, 0o600)
  renameSync(draft, file)
  io.note(`Set vault.keyfile in ${file}, so that the daemon unseals itself.`)
}

function next({ keyfile }: InitOptions): string {
  return keyfile === undefined
    ? 'Start the daemon with "vestry up", then open the vault with "vestry unseal".'
    : 'Start the daemon with "vestry up".'
}

function alreadyThere(dir: string): VestryError {
  return new VestryError('CONFLICT', `${dir} holds a vault already`, {
    hint: 'Choose another --home, or start it with "vestry up"',
  })
}
