/** Starts and stops of real daemons, for tests about starting and stopping: nothing is logged in for them. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { loadConfig } from '../../packages/server/src/app/config.ts'
import { type Daemon, startDaemon } from '../../packages/server/src/app/daemon.ts'
import { type Home, homeAt } from '../../packages/server/src/app/home.ts'
import { Secret } from '../../packages/server/src/seal/secret.ts'
import { RawClient } from './raw-client.ts'

export interface BootOptions {
  config?: object
  dev?: boolean
  passphrase?: string
  storeUrl?: string | undefined
  acceptRollback?: boolean
  insecureDev?: boolean
  env?: NodeJS.ProcessEnv
  execArgv?: string[]
  port?: number
  podDirectory?: string
  warn?: (line: string) => void
}

/** A home of its own, removed at the end. @param like A stopped home to copy. */
export function temporaryHome(like?: Home): Home & Disposable {
  const dir = mkdtempSync(join(tmpdir(), 'vestry-'))
  if (like !== undefined) cpSync(like.dir, dir, { recursive: true })
  return {
    ...homeAt(dir, {}),
    [Symbol.dispose]: () => rmSync(dir, { recursive: true, force: true }),
  }
}

/** With `--dev` unless a passphrase is given or `dev` says otherwise. */
export async function boot(
  home: Home,
  options: BootOptions = {},
): Promise<Daemon & AsyncDisposable> {
  if (options.config !== undefined)
    writeFileSync(home.config, stringify(options.config), { mode: 0o600 })
  using passphrase =
    options.passphrase === undefined ? undefined : Secret.copy(Buffer.from(options.passphrase))
  const daemon = await startDaemon({
    home,
    config: loadConfig(home.config, {}),
    env: options.env ?? {},
    execArgv: options.execArgv ?? [],
    dev: options.dev ?? passphrase === undefined,
    insecureDev: options.insecureDev ?? false,
    acceptRollback: options.acceptRollback ?? false,
    storeUrl: options.storeUrl,
    port: options.port ?? 0,
    podDirectory: options.podDirectory,
    passphrase,
    warn: options.warn ?? (() => undefined),
  })
  return { ...daemon, [Symbol.asyncDispose]: () => daemon.stop() }
}

/** A logged-in operator. */
export async function operator(home: Home, keysOf: Home = home): Promise<RawClient> {
  const seed = Buffer.from(readFileSync(keysOf.operatorKey, 'utf8').trim(), 'hex')
  const admin = await RawClient.connect({ path: home.adminSocket })
  await admin.login({ name: 'owner', seed }, 'operator_name')
  return admin
}

export function putCredential(
  admin: RawClient,
  path: string,
  value: string,
  facts: Record<string, unknown> = {},
): Promise<{ version: number }> {
  const value_base64 = Buffer.from(value).toString('base64')
  return admin.call('admin.cred.put', { path, value_base64, ...facts })
}

export function putRules(admin: RawClient, ...policies: object[]): Promise<unknown> {
  const text = stringify({ version: 1, policies })
  return admin.call('admin.policy.put', { files: [{ name: 'rules.yaml', text }] })
}

export function base64(text: string): string {
  return Buffer.from(text).toString('base64')
}
