/** `vestry up`: the daemon, in the foreground of this process. Prints one line when everything is open. */
import { VestryError } from '@vestry/contract/errors'
import type { Command } from 'commander'
import type { Daemon, DaemonOptions } from '../app/daemon.ts'
import type { Ready } from '../app/ready.ts'
import type { Run } from './command.ts'
import type { CommandIo } from './command-io.ts'
import { failureOf } from './failure.ts'
import { integer } from './option-value.ts'
import { type ProofOptions, passphraseOf, withPassphraseOptions } from './proof.ts'
import { type GivenSecret, hasSource, passphraseSource } from './secret-input.ts'
import { safeText } from './terminal-text.ts'
import { holdYoungMemory } from './young-memory.ts'

interface UpOptions extends ProofOptions {
  dev?: boolean
  port?: number
  store?: string
  config?: string
  pod?: string
  insecureDev?: boolean
  acceptRollback?: boolean
}

export function upCommand(program: Command, run: Run): void {
  withPassphraseOptions(program.command('up'))
    .description('run the daemon in the foreground')
    .option('--dev', 'try-out: unseals itself, default policies, loopback only')
    .option('--port <n>', 'port of the HTTP APIs; 0 for any free one', integer('--port', 0, 65_535))
    .option('--store <url>', 'sqlite:PATH or postgres://… (default: data/vestry.db in the home)')
    .option('--config <file>', 'configuration file (default: vestry.yaml in the home)')
    .option('--pod <file>', 'pod.yaml whose "otel" section says where telemetry is exported to')
    .option('--insecure-dev', 'tolerate debugging flags')
    .option('--accept-rollback', 'start although store or log are older than the other remembers')
    .action(run(up))
}

async function up(io: CommandIo, options: UpOptions): Promise<void> {
  const young = holdYoungMemory()
  const [{ startDaemon }, { loadConfig }] = await Promise.all([
    import('../app/daemon.ts'),
    import('../app/config.ts'),
  ])
  const file = options.config ?? io.home.config
  const config = loadConfig(file, io.env, {
    required: options.config !== undefined,
    pod: options.pod,
  })
  const settings: Omit<DaemonOptions, 'passphrase'> = {
    home: io.home,
    config,
    env: io.env,
    execArgv: process.execArgv,
    dev: options.dev === true,
    insecureDev: options.insecureDev === true,
    acceptRollback: options.acceptRollback === true,
    storeUrl: options.store,
    port: options.port,
    warn: (line) => io.warn(line),
  }
  const stopped = untilStopped(io.signal)
  const daemon = await start(io, passphraseOf(options), (passphrase) =>
    io.busy('starting', () => startDaemon({ ...settings, passphrase: passphrase?.secret })),
  )
  young[Symbol.dispose]()
  const stopListening = listenToSignals(io, daemon)
  io.print(daemon.ready, readyLine(daemon))
  await stopped
  await io.busy('finishing what is under way', () => daemon.stop())
  stopListening()
}

/** With the passphrase that was given; a fresh home on a terminal asks for the first one. */
async function start(
  io: CommandIo,
  options: ReturnType<typeof passphraseOf>,
  begin: (passphrase: GivenSecret | undefined) => Promise<Daemon>,
): Promise<Daemon> {
  const source = passphraseSource(options, io.env)
  if (hasSource(source)) {
    using given = await io.passphrase(source, 'Passphrase of the vault')
    return await begin(given)
  }
  try {
    return await begin(undefined)
  } catch (error) {
    if (failureOf(error).code !== 'NOT_INITIALIZED' || !io.interactive) throw error
  }
  io.note(`There is no vault in ${io.home.dir} yet. Choose the passphrase that will open it.`)
  using first = await io.passphrase({}, 'Passphrase of the new vault', { isNew: true })
  return await begin(first)
}

/** SIGUSR2 closes the vault at once, SIGHUP begins a new segment of the log. */
function listenToSignals(io: CommandIo, daemon: Daemon): () => void {
  const attempt = (work: () => Promise<void>) => () => {
    work().catch((error: unknown) => io.warn(failureOf(error).message))
  }
  const seal = attempt(() => daemon.seal('signal'))
  const rotate = attempt(() => daemon.rotateLog())
  process.on('SIGUSR2', seal)
  process.on('SIGHUP', rotate)
  return () => {
    process.off('SIGUSR2', seal)
    process.off('SIGHUP', rotate)
  }
}

function untilStopped(signal: AbortSignal): Promise<void> {
  if (signal.aborted) throw new VestryError('SHUTTING_DOWN', 'stopped before it started')
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

function readyLine({ ready, openRuns }: { ready: Ready; openRuns: number | undefined }): string {
  const parts = [
    'ready',
    ready.http,
    `vault ${ready.vault_socket}`,
    ...(ready.vault_tcp === undefined ? [] : [`tcp ${ready.vault_tcp}`]),
    `llm ${ready.llm_socket}`,
    `admin ${ready.admin_socket}`,
    ...(openRuns === undefined ? [] : [`runs ${openRuns}`]),
    `pid ${ready.pid}`,
    ...(ready.sealed === true ? ['sealed'] : []),
  ]
  return parts.map(safeText).join('  ')
}
