/** `vestry agent …`: who may log in. Private keys are made here and stay here; the daemon gets public ones. */
import { VestryError } from '@vestry/contract/errors'
import type { Command } from 'commander'
import { agentClaimsCommand } from './agent-claims.ts'
import { printAgentEnvironment } from './agent-env.ts'
import { mayHaveHappened, setAside, withNewKeyFiles } from './agent-keys.ts'
import { agentRunCommands } from './agent-run.ts'
import { type Row, rowsOf } from './cell.ts'
import type { Run } from './command.ts'
import type { CommandIo } from './command-io.ts'
import { notATerminal } from './key.ts'
import { pairs, seconds } from './option-value.ts'
import { hasSource } from './secret-input.ts'
import { facts, table } from './table.ts'

const A_DAY = 86_400

interface KeyOptions {
  publicKey?: string
  encrypt?: boolean
  passphraseFile?: string
  out?: string
  forceStdout?: boolean
}

interface AddOptions extends KeyOptions {
  role?: string
  displayName?: string
  meta?: Record<string, string>
  requireSigV2?: boolean
}

export function agentCommands(program: Command, run: Run): void {
  const agent = program.command('agent').description('agents, their keys and roles')

  withKeyOptions(agent.command('add').description('register an agent and make its key'))
    .argument('<name>', 'unique name the agent logs in with')
    .option('--role <role>', 'role, for policies (default: agent)')
    .option('--display-name <text>', 'name for people')
    .option('--meta <key=value>', 'a fact for policies, repeatable', pairs('--meta'))
    .option('--require-sig-v2', 'refuse logins that are not bound to this daemon')
    .action(
      run(async (io, name: string, options: AddOptions) => {
        const params = {
          name,
          role: options.role,
          display_name: options.displayName,
          meta: options.meta,
          require_sig_v2: options.requireSigV2,
        }
        await withKey(io, name, options, (publicKey) =>
          io.call('agent.add', { ...params, public_key: publicKey }),
        )
      }),
    )

  agent
    .command('list')
    .description('list agents')
    .option('--revoked', 'revoked ones too')
    .action(
      run(async (io, { revoked }: { revoked?: boolean }) => {
        const reply = await io.call('agent.list', { revoked })
        io.print(reply, (paint) =>
          table(
            [
              { title: 'NAME', value: 'name' },
              { title: 'ROLE', value: 'role' },
              {
                title: 'STATUS',
                value: 'status',
                style: (row) => (row['status'] === 'enabled' ? 'green' : 'red'),
              },
              { title: 'KEYS', value: (row) => rowsOf(row, 'keys').length, align: 'right' },
              { title: 'CREATED', value: 'created_at' },
              { title: 'ID', value: 'id' },
            ],
            rowsOf(reply, 'agents'),
            { paint, empty: 'no agents; add one with "vestry agent add NAME"' },
          ),
        )
      }),
    )

  agent
    .command('show')
    .description('show one agent')
    .argument('<name>', 'name or id')
    .action(
      run(async (io, name: string) => {
        const reply = await io.call('agent.show', { name })
        io.print(reply, (paint) => facts(agentFacts(reply), paint))
      }),
    )

  withKeyOptions(agent.command('rotate').description('give an agent a new key'))
    .argument('<name>', 'the agent')
    .option(
      '--overlap <duration>',
      'the old key works this much longer',
      seconds('--overlap', A_DAY),
    )
    .action(
      run(async (io, name: string, options: KeyOptions & { overlap?: number }) => {
        const register = (publicKey: string) =>
          io.call('agent.rotate', { name, public_key: publicKey, overlap_s: options.overlap })
        if (options.publicKey !== undefined) {
          await withKey(io, name, options, register)
          return
        }
        const aside = await setAside(keyDirectories(io, options), name)
        try {
          await withKey(io, name, options, register)
        } catch (error) {
          if (!mayHaveHappened(error)) await aside.putBack()
          throw error
        }
        for (const path of aside.moved) io.note(`the old file is now ${path}`)
      }),
    )

  for (const [verb, description] of [
    ['revoke', 'end an agent for ever: keys, sessions and leases; frees its name'],
    ['disable', 'stop an agent for now: ends its sessions and leases'],
    ['enable', 'let a disabled agent log in again'],
  ] as const) {
    agent
      .command(verb)
      .description(description)
      .argument('<name>', 'the agent')
      .action(
        run(async (io, name: string) => {
          const reply = await io.call(`agent.${verb}`, { name })
          io.print(reply, (paint) => facts(agentFacts(reply), paint))
        }),
      )
  }

  agent
    .command('env')
    .description('print the environment of the agent, its private key included')
    .argument('<name>', 'the agent')
    .option('--key-file <file>', 'its key file (default: keys/<name>.key in the home)')
    .option('--passphrase-file <file>', 'opens an encrypted key file')
    .action(
      run(async (io, name: string, options: { keyFile?: string; passphraseFile?: string }) =>
        printAgentEnvironment(io, name, options),
      ),
    )

  agentClaimsCommand(agent, run)
  agentRunCommands(agent, run)
}

function withKeyOptions(command: Command): Command {
  return command
    .option('--public-key <hex>', 'register this Ed25519 key, 64 hex digits; no file is written')
    .option('--encrypt', 'protect the key file by a passphrase')
    .option('--passphrase-file <file>', 'the passphrase, instead of asking or generating one')
    .option('--out <dir>', 'directory of the key file (default: keys in the home)')
    .option('--force-stdout', 'show a generated passphrase even when stdout is no terminal')
}

/** Makes the key unless one is given, registers it, and prints what came of it. */
async function withKey(
  io: CommandIo,
  name: string,
  options: KeyOptions,
  register: (publicKey: string) => Promise<Record<string, unknown>>,
): Promise<void> {
  if (options.publicKey !== undefined) {
    if (options.encrypt === true || options.out !== undefined) {
      throw new VestryError('USAGE', '--public-key excludes --encrypt and --out', {
        hint: 'With --public-key no private key is here to be written',
      })
    }
    const reply = await register(options.publicKey)
    const document = { ...reply, ...newestKey(reply), key_file: null }
    io.print(document, (paint) => facts(agentFacts(document), paint))
    return
  }
  using passphrase = options.encrypt === true ? await newPassphrase(io, options) : undefined
  const { result, files } = await withNewKeyFiles(
    { dirs: keyDirectories(io, options), name, passphrase: passphrase?.bytes },
    register,
  )
  const document = {
    ...result,
    ...newestKey(result),
    key_file: files[0]?.keyFile,
    key_files: files.map(({ keyFile }) => keyFile),
    ...(passphrase?.generated === true && {
      passphrase: Buffer.from(passphrase.bytes).toString('latin1'),
    }),
  }
  io.print(document, (paint) => facts(agentFacts(document), paint))
  if (passphrase?.generated === true)
    io.note('The passphrase is not stored and cannot be shown again.')
}

/** With the default home, the published clients' own place gets a copy. */
function keyDirectories(io: CommandIo, { out }: KeyOptions): string[] {
  if (out !== undefined) return [out]
  return io.home.legacyKeys === undefined ? [io.home.keys] : [io.home.keys, io.home.legacyKeys]
}

async function newPassphrase(
  io: CommandIo,
  { passphraseFile, forceStdout }: KeyOptions,
): Promise<{ bytes: Uint8Array; generated: boolean } & Disposable> {
  const source = { file: passphraseFile }
  if (hasSource(source) || io.interactive) {
    const asked = {
      option: 'passphrase',
      question: 'Passphrase of the key file (at least 16 characters)',
      isNew: true,
      maxBytes: 4_096,
    }
    const given = await io.secret(source, asked)
    return {
      bytes: given.secret.bytes,
      generated: false,
      [Symbol.dispose]: () => given[Symbol.dispose](),
    }
  }
  if (!io.mayShowSecret(forceStdout)) throw notATerminal()
  const { generatePassphrase } = await import('../identity/key-box.ts')
  const made = generatePassphrase()
  return { bytes: made.bytes, generated: true, [Symbol.dispose]: () => made[Symbol.dispose]() }
}

function newestKey(reply: Row): { public_key: unknown; fingerprint: unknown } {
  const newest = rowsOf(reply, 'keys').findLast((key) => key['expires_at'] === null)
  return {
    public_key: newest?.['public_key'] ?? null,
    fingerprint: newest?.['fingerprint'] ?? null,
  }
}

function agentFacts(reply: Row): [string, unknown][] {
  const { name, id, display_name, role, status, spiffe_id, meta, sessions, leases } = reply
  return [
    ['name', name],
    ['display name', display_name === name ? undefined : display_name],
    ['id', id],
    ['role', role],
    ['status', status],
    ['spiffe id', spiffe_id],
    ['meta', meta],
    ...rowsOf(reply, 'keys').map((key): [string, unknown] => [
      'key',
      `${String(key['fingerprint'])} ${String(key['status'])}${key['expires_at'] === null ? '' : ` until ${String(key['expires_at'])}`}`,
    ]),
    ['public key', reply['public_key']],
    ['key file', reply['key_files'] ?? reply['key_file'] ?? undefined],
    ['passphrase', reply['passphrase']],
    ['sessions', sessions],
    ['leases', leases],
    ['leases revoked', reply['leases_revoked']],
  ]
}
