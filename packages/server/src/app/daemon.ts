/** The daemon from configuration to `ready.json`, and back down again. */
import { VestryError } from '@vestry/contract/errors'
import { VERSION } from '@vestry/contract/version'
import { VERBS } from '../admin/protocol.ts'
import { adminRoutes } from '../gateway/wire/admin-routes.ts'
import { gatewayRoutes } from '../gateway/wire/routes.ts'
import { createHttp } from '../http/server.ts'
import { newCaller } from '../identity/caller.ts'
import type { EndReason, Session } from '../identity/session.ts'
import { defineProcessMetrics } from '../metrics/process-metrics.ts'
import { Registry } from '../metrics/registry.ts'
import { loadKeyFile } from '../seal/keyfile-load.ts'
import type { Secret } from '../seal/secret.ts'
import type { Store } from '../store/store.ts'
import { callerRecord } from '../vault/record.ts'
import { assertSocketPath } from '../vault/wire/listener.ts'
import { assemble, openAudit, openHomeStore, type Parts } from './assemble.ts'
import { AutoSeal } from './auto-seal.ts'
import type { Config } from './config.ts'
import { firstStartSlots } from './first-start.ts'
import { assembleGateway } from './gateway-parts.ts'
import { assertHardened, keepDebuggerShut } from './hardening.ts'
import type { Home } from './home.ts'
import { initialise, isUnfinished, makeHome } from './initialise.ts'
import { createLifecycle, type RunningLifecycle } from './lifecycle.ts'
import { createListeners } from './listeners.ts'
import { assembleLlm } from './llm-parts.ts'
import { defineVaultMetrics } from './metrics.ts'
import { note } from './note.ts'
import { type Ready, removeReady, writeReady } from './ready.ts'
import { runPaths } from './run-files.ts'
import { runRoutes } from './run-routes.ts'
import { assembleRuns, type RunsPart } from './runs-part.ts'
import { parseTcp, type TcpAddress } from './tcp-address.ts'

const DRAIN_MS = 10_000
const DISCONNECT_GRACE_MS = 30_000

export interface DaemonOptions {
  readonly home: Home
  readonly config: Config
  readonly env: NodeJS.ProcessEnv
  readonly execArgv: readonly string[]
  /** Automatic unseal, request rates lifted, loopback only. */
  readonly dev: boolean
  readonly insecureDev: boolean
  readonly acceptRollback: boolean
  readonly storeUrl: string | undefined
  readonly port: number | undefined
  /** Borrowed. Opens the vault at start, and closes the first slot of a new one. */
  readonly passphrase: Secret | undefined
  readonly warn: (line: string) => void
}

export interface Daemon {
  readonly ready: Ready
  /** Runs that were open when all listeners were; undefined while the vault is sealed. */
  readonly openRuns: number | undefined
  /** Emergency seal, as SIGUSR2 asks for. */
  seal(reason: string): Promise<void>
  rotateLog(): Promise<void>
  /** Drains (≤ 10 s), seals, removes `ready.json`. */
  stop(): Promise<void>
}

/**
 * Config, lock, log, store, seal, checks, workers, sockets, TCP, `ready.json`: in this order, and undone in the
 * reverse one when a step fails.
 */
export async function startDaemon(options: DaemonOptions): Promise<Daemon> {
  const { home, config, dev, warn } = options
  process.umask(0o077)
  // Before anything is made in a home that could never be opened.
  for (const path of [
    config.vault.socket ?? home.vaultSocket,
    home.adminSocket,
    config.llm.socket ?? home.llmSocket,
    runPaths(home, '').socket,
  ])
    assertSocketPath(path)
  await using undo = new AsyncDisposableStack()
  const debugger_ = undo.use(keepDebuggerShut())
  makeHome(home)
  for (const line of assertHardened(home, options.env, options.execArgv, {
    insecure: options.insecureDev,
  })) {
    warn(line)
  }
  const tcp = vaultTcp(config, warn)
  assertHttpHost(config, dev, warn)
  const audit = await openAudit(home, config, options.acceptRollback)
  undo.defer(() => audit.close())
  debugger_.onAttempt(() => {
    audit
      .append(note('host.debugger_refused', 'SIGUSR1 was received and ignored'), 'written')
      .catch(() => undefined)
  })
  removeReady(home.ready) // of a daemon that was killed: this one holds the lock
  const store = await openHomeStore(home, config, options.storeUrl)
  undo.defer(() => store.close())

  const parts: Parts = await assemble({
    home,
    config,
    dev,
    audit,
    store,
    acceptRollback: options.acceptRollback,
    onSessionEnd: (session, reason) => onSessionEnd(parts, session, reason),
    runs: {
      join: (token, agentId) => runs.join(token, agentId),
      assertOpen: (txn) => runs.gate.assertOpen(txn),
    },
  })
  undo.use(parts.refusals)
  let stopping: Promise<void> | undefined
  let ready: Ready | undefined
  const startedAtMs = Date.now()
  const registry = new Registry()
  const draining = () => stopping !== undefined
  const gateway = assembleGateway(parts, { registry, startedAtMs, draining, warn })
  undo.use(gateway.gateway.journal)
  const runs: RunsPart = assembleRuns(parts, { tokens: () => gateway.gateway.tokens.store, warn })
  undo.use(runs.runs)
  const llm = assembleLlm(parts, {
    gate: runs.gate,
    run: (id) => runs.runs.byId(id),
    registry,
    draining,
    warn,
  })
  const autoSeal = new AutoSeal({
    idleSeconds: config.vault.auto_seal_idle,
    now: () => performance.now(),
    seal: () => void lifecycle.seal('idle'),
  })
  const lifecycle = createLifecycle(parts, {
    gateway,
    runs,
    llm,
    acceptRollback: options.acceptRollback,
    describe: async () => ({
      version: VERSION,
      pid: process.pid,
      started_at: new Date(startedAtMs).toISOString(),
      home: home.dir,
      dev,
      http: ready?.http,
      llm_socket: ready?.llm_socket,
      open_runs: await runs.runs.countOpen(),
    }),
    onState: () => {
      const sealed = parts.seal.state !== 'unsealed'
      if (sealed) autoSeal.stop()
      else autoSeal.start()
      if (ready === undefined || stopping !== undefined) return
      ready = withState(ready, sealed)
      try {
        writeReady(home.ready, ready)
      } catch (error) {
        warn(`${home.ready} is out of date: ${(error as Error).message}`)
      }
    },
  })
  undo.defer(() => lifecycle.stop())
  undo.use(parts.egressPool)
  await audit.append(note('vault.start', `vestry ${VERSION} started`), 'synced')
  await openVault(parts, store, lifecycle, options)

  undo.use(defineProcessMetrics(registry))
  const verbs = [...VERBS, ...gateway.verbs, ...runs.verbs, ...llm.verbs]
  const listeners = createListeners(parts, lifecycle, {
    draining,
    verbs,
    autoSeal,
    warn,
  })
  defineVaultMetrics(registry, parts, () => listeners.connections())
  const http = createHttp({
    version: VERSION,
    startedAtMs,
    now: Date.now,
    registry,
    apiKeys: parts.apiKeys,
    loopback: isLoopback(config.http.host),
    maxBodyBytes: config.gateway.body_limit_bytes,
    checks: async () => {
      const [tools, models] = await Promise.all([gateway.checks(), llm.checks()])
      return { able: tools.able && models.able, facts: { ...tools.facts, ...models.facts } }
    },
    state: () => ({
      sealed: parts.seal.state !== 'unsealed',
      auditAvailable: audit.available,
      draining: draining(),
    }),
  })
  http.register(
    async (api) => {
      gatewayRoutes(api, gateway.gateway)
      adminRoutes(api, gateway.gateway, parts.adminDeps(lifecycle), verbs)
    },
    { prefix: '/api' },
  )
  http.register(async (api) => llm.routes(api), { prefix: '/v1' })
  http.register(async (api) => runRoutes(api, runs, parts.adminDeps(lifecycle), warn))
  undo.defer(async () => {
    // Together, so that all drain within the one budget.
    await Promise.all([
      listeners.close(DRAIN_MS),
      runs.drain(DRAIN_MS),
      Promise.all([gateway.drain(DRAIN_MS), llm.drain(DRAIN_MS)]).then(() =>
        closeHttp(http, DRAIN_MS),
      ),
    ])
  })
  await listeners.open(home, config)
  if (tcp !== undefined) await listeners.openTcp(tcp)
  const llmSocket = await llm.listen()
  const bound = await listenHttp(http, config, options.port)
  parts.ownListeners.push(bound)

  const opened: Ready = {
    pid: process.pid,
    version: VERSION,
    http: bound.url,
    vault_socket: config.vault.socket ?? home.vaultSocket,
    admin_socket: home.adminSocket,
    llm_socket: llmSocket,
    ...(listeners.tcp() !== undefined && { vault_tcp: listeners.tcp() as string }),
    admin_key_file: home.adminKey,
  }
  ready = withState(opened, parts.seal.state !== 'unsealed')
  undo.defer(() => removeReady(home.ready))
  const openRuns = parts.seal.state === 'unsealed' ? await runs.runs.countOpen() : undefined
  writeReady(home.ready, ready)
  const all = undo.move()
  return {
    ready,
    openRuns,
    seal: (reason) => lifecycle.seal(reason),
    rotateLog: () => audit.rotate(),
    stop: () => {
      stopping ??= (async () => {
        autoSeal.stop()
        removeReady(home.ready)
        // Not waited for: a disk that hangs must not keep the sockets open.
        audit.append(note('vault.stop', 'stopping'), 'written').catch(() => undefined)
        await all.disposeAsync()
      })()
      return stopping
    },
  }
}

function withState({ sealed: _, ...ready }: Ready, sealed: boolean): Ready {
  return sealed ? { ...ready, sealed: true } : ready
}

async function closeHttp(http: ReturnType<typeof createHttp>, budgetMs: number): Promise<void> {
  const late = setTimeout(() => http.server.closeAllConnections(), budgetMs / 2)
  await http.close()
  clearTimeout(late)
}

/** Opens the seal with whatever this start was given; stays sealed when that is nothing. */
async function openVault(
  parts: Parts,
  store: Store,
  lifecycle: RunningLifecycle,
  options: DaemonOptions,
): Promise<void> {
  const { home, config, dev, passphrase } = options
  if (parts.seal.state === 'uninitialized' || (await isUnfinished(store))) {
    using first = await firstStartSlots({ home, dev, passphrase, warn: options.warn })
    const made = await initialise({
      home,
      store,
      slots: first.slots,
      dev,
      trustDomain: config.identity.trust_domain,
      defaultPolicies: config.gateway.seed_default_policies,
      now: Date.now,
    })
    await parts.audit.append(
      {
        ...note('vault.init', 'vault created'),
        data: { vault_id: made.vaultId, slots: made.slots.length },
      },
      'synced',
    )
    await parts.seal.refresh()
  }
  const keyFile = config.vault.keyfile ?? (dev ? home.devKeyFile : undefined)
  if (passphrase !== undefined) {
    await parts.seal.unseal({ passphrase: passphrase.bytes })
  } else if (keyFile !== undefined) {
    using key = await loadKeyFile(keyFile)
    await parts.seal.unseal({ keyfile: key.bytes })
  } else {
    options.warn('the vault is sealed; open it with "vestry unseal"')
    return
  }
  await lifecycle.unsealed()
}

function onSessionEnd(parts: Parts, session: Session, reason: EndReason): void {
  const { audit, vault, config, leases, sessions } = parts
  audit
    .append(
      callerRecord(newCaller(session), {
        action: 'session.end',
        detail: `session ended: ${reason}`,
        data: { reason },
      }),
      'written',
    )
    .catch(() => undefined) // only after close(), when nothing can be written any more
  const { principal } = session
  if (
    !config.vault.revoke_on_disconnect ||
    principal.kind !== 'agent' ||
    reason !== 'connection_closed'
  )
    return
  const { id } = principal.agent
  setTimeout(() => {
    const back = sessions
      .list()
      .some((live) => live.principal.kind === 'agent' && live.principal.agent.id === id)
    if (!back) leases.revoke({ agentId: id }, 'disconnected', vault.now())
  }, DISCONNECT_GRACE_MS).unref()
}

function vaultTcp({ vault }: Config, warn: (line: string) => void): TcpAddress | undefined {
  if (vault.listen_tcp === undefined) return undefined
  const address = parseTcp(vault.listen_tcp)
  if (!isLoopback(address.host) && !vault.allow_plaintext_remote) {
    throw new VestryError(
      'CONFIG_INVALID',
      `vault.listen_tcp ${vault.listen_tcp} is not a loopback address`,
      {
        hint: 'The wire is not encrypted: use a Unix socket, a tunnel, or set vault.allow_plaintext_remote',
      },
    )
  }
  if (address.port === 8200) warn('port 8200 is the customary port of HashiCorp Vault and OpenBao')
  return address
}

function assertHttpHost({ http }: Config, dev: boolean, warn: (line: string) => void): void {
  if (isLoopback(http.host)) return
  if (dev) {
    throw new VestryError('CONFIG_INVALID', `--dev does not listen on ${http.host}`, {
      hint: 'Use a loopback address, or start without --dev',
    })
  }
  warn(`http listens on ${http.host} without TLS: put a TLS proxy in front of it`)
}

/** Any address of the machine is reached through its loopback, which is what clients are told. */
const REACHED_AT: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' }

async function listenHttp(
  http: ReturnType<typeof createHttp>,
  config: Config,
  port: number | undefined,
): Promise<{ url: string; address: string; port: number }> {
  const wanted = port ?? config.http.port
  // Of the two addresses this name may have, the one everybody expects.
  const host = config.http.host === 'localhost' ? '127.0.0.1' : config.http.host
  try {
    await http.listen({ host, port: wanted })
  } catch (cause) {
    throw new VestryError(
      'CONFIG_INVALID',
      `cannot listen on ${host}:${wanted}: ${(cause as Error).message}`,
      { hint: 'Choose another port with --port, or 0 for any free one', cause },
    )
  }
  const bound = http.server.address()
  if (bound === null || typeof bound === 'string') throw new VestryError('INTERNAL_ERROR')
  const reached = REACHED_AT[bound.address] ?? bound.address
  const name = reached.includes(':') ? `[${reached}]` : reached
  return { url: `http://${name}:${bound.port}`, address: bound.address, port: bound.port }
}

function isLoopback(host: string): boolean {
  return (
    host === 'localhost' || host === '::1' || host === '[::1]' || /^127(?:\.\d{1,3}){3}$/.test(host)
  )
}
