/** Where everything lives on disk. With an explicit home nothing is written outside of it. */
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'

export interface Home {
  readonly dir: string
  /** Given by `--home` or `$VESTRY_HOME`; then the places of the older clients are left alone. */
  readonly explicit: boolean
  readonly config: string
  readonly data: string
  readonly store: string
  readonly audit: string
  readonly keys: string
  readonly run: string
  readonly ready: string
  readonly vaultSocket: string
  readonly adminSocket: string
  readonly llmSocket: string
  readonly queueSocket: string
  readonly identitySocket: string
  /** The same two for agents in a sandbox, which see this directory and nothing around it. */
  readonly podSockets: string
  /** How far the record was exported. */
  readonly exportState: string
  /** Sockets of runs, one each. */
  readonly sidecars: string
  /** Tokens and directories of runs. */
  readonly runs: string
  /** Public keys of run tokens, for whoever asks while the vault is sealed. */
  readonly runKeys: string
  readonly operatorKey: string
  readonly adminKey: string
  /** The daemon's public key, with which its log is verified while it is away. */
  readonly serverPublicKey: string
  /** Key file of the automatic slot that `--dev` makes. */
  readonly devKeyFile: string
  /** Where the published vault clients look. Only with the default home. */
  readonly legacyVaultSocket: string | undefined
  readonly legacyKeys: string | undefined
}

export function homeAt(given: string | undefined, env: NodeJS.ProcessEnv): Home {
  const chosen = given ?? env['VESTRY_HOME']
  const explicit = chosen !== undefined && chosen !== ''
  const dir = explicit ? resolve(chosen) : join(homedir(), '.vestry')
  const run = join(dir, 'run')
  const keys = join(dir, 'keys')
  return {
    dir,
    explicit,
    config: join(dir, 'vestry.yaml'),
    data: join(dir, 'data'),
    store: join(dir, 'data', 'vestry.db'),
    audit: join(dir, 'audit'),
    keys,
    run,
    ready: join(run, 'ready.json'),
    vaultSocket: join(run, 'vault.sock'),
    adminSocket: join(run, 'admin.sock'),
    llmSocket: join(run, 'llm.sock'),
    queueSocket: join(run, 'queue.sock'),
    identitySocket: join(run, 'identity.sock'),
    podSockets: join(run, 'p'),
    exportState: join(dir, 'data', 'otlp-export.json'),
    sidecars: join(run, 's'),
    runs: join(dir, 'runs'),
    runKeys: join(dir, 'data', 'run-keys.json'),
    operatorKey: join(keys, 'operator.key'),
    adminKey: join(keys, 'admin.key'),
    serverPublicKey: join(dir, 'server.pub'), // not in keys/, where an agent may be called "server"
    devKeyFile: join(dir, 'unseal.key'),
    legacyVaultSocket: explicit ? undefined : join(homedir(), '.sanctum', 'vault.sock'),
    legacyKeys: explicit ? undefined : join(homedir(), '.sanctum', 'keys'),
  }
}
