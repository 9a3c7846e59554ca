/** A real daemon on a throw-away home, in this process, with an operator already logged in. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { loadConfig } from '../../packages/server/src/app/config.ts'
import { type Daemon, startDaemon } from '../../packages/server/src/app/daemon.ts'
import { type Home, homeAt } from '../../packages/server/src/app/home.ts'
import { FAKE_KEYS } from './fake-providers.ts'
import { type AgentKeys, newAgentKeys } from './keys.ts'
import { assertNoTokens } from './needles.ts'
import { RawClient } from './raw-client.ts'

export interface TestDaemon extends AsyncDisposable {
  readonly home: Home
  readonly daemon: Daemon
  readonly admin: RawClient
  /** Registers an agent and returns its keys. */
  addAgent(name: string, extra?: Record<string, unknown>): Promise<AgentKeys>
  addCredential(
    path: string,
    value: string | Uint8Array,
    facts?: Record<string, unknown>,
  ): Promise<void>
  /** YAML (or an object turned into it) of vault rules. */
  addPolicy(rules: string | object): Promise<unknown>
  /** A logged-in raw client over the Unix socket. */
  agent(keys: AgentKeys): Promise<RawClient>
  /** The first operator's private key. */
  operatorSeed(): Buffer
  /** Every line of the audit log so far. */
  auditLines(): string[]
  restart(config?: object): Promise<void>
  /** A new session on the operator's connection, when the old one has expired. */
  relogin(): Promise<void>
  /** As an operator does; agents' connections stay open. */
  seal(): Promise<void>
  unseal(): Promise<void>
  stop(): Promise<void>
}

export async function startTestDaemon(
  options: { config?: object; dev?: boolean; dir?: string; keepHome?: boolean } = {},
): Promise<TestDaemon> {
  const dir = options.dir ?? mkdtempSync(join(tmpdir(), 'vestry-'))
  const home = homeAt(dir, {})
  const write = (config: object | undefined) => {
    if (config !== undefined) writeFileSync(home.config, stringify(config), { mode: 0o600 })
  }
  const boot = () =>
    startDaemon({
      home,
      config: loadConfig(home.config, {}),
      env: {},
      execArgv: [],
      dev: options.dev ?? true,
      insecureDev: false,
      acceptRollback: false,
      storeUrl: undefined,
      port: 0,
      passphrase: undefined,
      warn: (line) => {
        if (line.startsWith('internal error')) process.stderr.write(`${line}\n`)
      },
    })
  write(options.config)
  let daemon = await boot()
  let admin = await loginOperator(home)

  const test: TestDaemon = {
    home,
    get daemon() {
      return daemon
    },
    get admin() {
      return admin
    },
    async addAgent(name, extra = {}) {
      const keys = newAgentKeys(name)
      await admin.call('admin.agent.add', { name, public_key: keys.publicKeyHex, ...extra })
      return keys
    },
    async addCredential(path, value, facts = {}) {
      const value_base64 = Buffer.from(value as Uint8Array).toString('base64')
      await admin.call('admin.cred.put', { path, value_base64, ...facts })
    },
    addPolicy: (rules) =>
      admin.call('admin.policy.put', {
        files: [{ name: 'rules.yaml', text: typeof rules === 'string' ? rules : stringify(rules) }],
      }),
    async agent(keys) {
      const client = await RawClient.connect({ path: home.vaultSocket })
      await client.login(keys)
      return client
    },
    operatorSeed: () => operatorSeed(home),
    auditLines: () => readFileSync(join(home.audit, 'audit.jsonl'), 'utf8').trimEnd().split('\n'),
    async restart(config) {
      admin.destroy()
      await daemon.stop()
      write(config)
      daemon = await boot()
      admin = await loginOperator(home)
    },
    async relogin() {
      await admin.login({ name: 'owner', seed: operatorSeed(home) }, 'operator_name')
    },
    async seal() {
      await daemon.seal('operator')
      admin.destroy()
    },
    async unseal() {
      const anyone = await RawClient.connect({ path: home.adminSocket })
      const keyfile_base64 = Buffer.from(readFileSync(home.devKeyFile)).toString('base64')
      await anyone.call('admin.unseal', { keyfile_base64 })
      anyone.destroy()
      admin = await loginOperator(home)
    },
    async stop() {
      admin.destroy()
      await daemon.stop()
      // Part of sage §21.39: whatever a test was about, this holds after it.
      if (existsSync(join(home.audit, 'audit.jsonl')))
        assertNoTokens('the log', test.auditLines().join('\n'), Object.values(FAKE_KEYS))
      if (options.keepHome !== true) rmSync(dir, { recursive: true, force: true })
    },
    [Symbol.asyncDispose]: () => test.stop(),
  }
  return test
}

async function loginOperator(home: Home): Promise<RawClient> {
  const admin = await RawClient.connect({ path: home.adminSocket })
  await admin.login({ name: 'owner', seed: operatorSeed(home) }, 'operator_name')
  return admin
}

function operatorSeed(home: Home): Buffer {
  return Buffer.from(readFileSync(home.operatorKey, 'utf8').trim(), 'hex')
}
