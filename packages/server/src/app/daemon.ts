/** The daemon from configuration to `ready.json`, and back down again. */
import { VERSION } from '@vestry/contract/version'
import { VERBS } from '../admin/protocol.ts'
import { adminRoutes } from '../gateway/wire/admin-routes.ts'
import { gatewayRoutes } from '../gateway/wire/routes.ts'
import { assertSocketPath } from '../http/listen-on-socket.ts'
import { createHttp } from '../http/server.ts'
import { defineProcessMetrics } from '../metrics/process-metrics.ts'
import { Registry } from '../metrics/registry.ts'
import type { Secret } from '../seal/secret.ts'
import { correlationVerbs } from '../telemetry/correlation/verbs.ts'
import { assemble, openAudit, openHomeStore, type Parts } from './assemble.ts'
import { AutoSeal } from './auto-seal.ts'
import type { Config } from './config.ts'
import { assembleGateway } from './gateway-parts.ts'
import { assertHardened, keepDebuggerShut } from './hardening.ts'
import type { Home } from './home.ts'
import { makeHome } from './initialise.ts'
import { createLifecycle } from './lifecycle.ts'
import { createListeners } from './listeners.ts'
import { assembleLlm } from './llm-parts.ts'
import { defineVaultMetrics } from './metrics.ts'
import { note } from './note.ts'
import { openVault } from './open-vault.ts'
import { type Ready, removeReady, writeReady } from './ready.ts'
import { runPaths } from './run-files.ts'
import { runRoutes } from './run-routes.ts'
import { assembleRuns, type RunsPart } from './runs-part.ts'
import { assembleRuntime } from './runtime-part.ts'
import { onSessionEnd } from './session-end.ts'
import { assertHttpHost, closeHttp, isLoopback, listenHttp, vaultTcp } from './tcp-listening.ts'
import { assembleTelemetry, assertTelemetrySockets } from './telemetry-part.ts'

const DRAIN_MS = 10_000

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
  /** Where agents look for the sockets of their pod; `/run/envpod` unless told. */
  readonly podDirectory?: string | undefined
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
  assertTelemetrySockets(home, config)
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
    warn: options.warn,
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
  const telemetry = assembleTelemetry(parts, {
    gateway,
    registry,
    env: options.env,
    podDirectory: options.podDirectory,
    warn,
  })
  const runtime = assembleRuntime(parts, {
    gateway,
    runs,
    llm,
    registry,
    startedAtMs,
    draining,
    warn,
    env: options.env,
  })
  undo.use(runtime)
  const autoSeal = new AutoSeal({
    idleSeconds: config.vault.auto_seal_idle,
    now: () => performance.now(),
    seal: () => void lifecycle.seal('idle'),
  })
  const lifecycle = createLifecycle(parts, {
    gateway,
    runs,
    llm,
    telemetry,
    runtime,
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
      telemetry: telemetry.describe(),
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
  const verbs = [
    ...VERBS,
    ...gateway.verbs,
    ...runs.verbs,
    ...llm.verbs,
    ...telemetry.verbs,
    ...runtime.verbs,
    ...correlationVerbs(parts.podName),
  ]
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
  runtime.mount(http, { deps: parts.adminDeps(lifecycle), verbs })
  http.register(async (api) => runRoutes(api, runs, parts.adminDeps(lifecycle), warn))
  undo.defer(async () => {
    // Together, so that all drain within the one budget.
    await Promise.all([
      listeners.close(DRAIN_MS),
      runs.drain(DRAIN_MS),
      telemetry.drain(DRAIN_MS),
      Promise.all([gateway.drain(DRAIN_MS), llm.drain(DRAIN_MS), runtime.drain(DRAIN_MS)]).then(
        () => closeHttp(http, DRAIN_MS),
      ),
    ])
  })
  // Before all others: what they do can then be told.
  const pod = await telemetry.pod()
  audit.setPodId(pod.id)
  const sockets = await telemetry.listen()
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
    ...sockets,
    ...(sockets !== undefined && { pod_id: pod.id, pod_name: pod.name }),
    ...(listeners.tcp() !== undefined && { vault_tcp: listeners.tcp() as string }),
    admin_key_file: home.adminKey,
  }
  ready = withState(opened, parts.seal.state !== 'unsealed')
  undo.defer(() => removeReady(home.ready))
  const openRuns = parts.seal.state === 'unsealed' ? await runs.runs.countOpen() : undefined
  runtime.started()
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
