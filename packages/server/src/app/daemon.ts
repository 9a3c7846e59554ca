/** The daemon from configuration to `ready.json`, and back down again. */
import { VestryError } from '@vestry/contract/errors'
import { VERSION } from '@vestry/contract/version'
import { adminProtocol } from '../admin/protocol.ts'
import { createHttp } from '../http/server.ts'
import { newCaller } from '../identity/caller.ts'
import type { EndReason, Session } from '../identity/session.ts'
import { recheckSessions } from '../identity/session-check.ts'
import { defineProcessMetrics } from '../metrics/process-metrics.ts'
import { Registry } from '../metrics/registry.ts'
import { loadKeyFile } from '../seal/keyfile-load.ts'
import type { Secret } from '../seal/secret.ts'
import { agentProtocol } from '../vault/agent-protocol.ts'
import { callerRecord } from '../vault/record.ts'
import { type Address, Listener } from '../vault/wire/listener.ts'
import { DEFAULT_WIRE_LIMITS, type WireLimits } from '../vault/wire/wire-limits.ts'
import { assemble, openAudit, openHomeStore, type Parts } from './assemble.ts'
import type { Config } from './config.ts'
import { firstStartSlots } from './first-start.ts'
import { assertHardened, keepDebuggerShut } from './hardening.ts'
import type { Home } from './home.ts'
import { initialise, makeHome } from './initialise.ts'
import { createLifecycle, note, type RunningLifecycle } from './lifecycle.ts'
import { defineVaultMetrics } from './metrics.ts'
import { type Ready, removeReady, writeReady } from './ready.ts'
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
  /** Emergency seal, as SIGUSR2 asks for. */
  seal(reason: string): Promise<void>
  rotateLog(): Promise<void>
  /** Drains (≤ 10 s), seals, removes `ready.json`. */
  stop(): Promise<void>
}

export async function startDaemon(options: DaemonOptions): Promise<Daemon> {
  const { home, config, dev } = options
  process.umask(0o077)
  makeHome(home)
  for (const line of assertHardened(home, options.env, options.execArgv, {
    insecure: options.insecureDev,
  })) {
    options.warn(line)
  }
  const tcp = vaultTcp(config, options.warn)
  assertHttpHost(config, dev, options.warn)
  await using undo = new AsyncDisposableStack()
  const audit = await openAudit(home, config, options.acceptRollback)
  undo.defer(() => audit.close())
  const store = await openHomeStore(home, config, options.storeUrl)
  undo.defer(() => store.close())

  const parts: Parts = await assemble({
    home,
    config,
    dev,
    audit,
    store,
    onSessionEnd: (session, reason) => onSessionEnd(parts, session, reason),
  })
  let draining = false
  const startedAtMs = Date.now()
  const lifecycle = createLifecycle(parts, {
    acceptRollback: options.acceptRollback,
    describe: () => ({
      version: VERSION,
      pid: process.pid,
      started_at: new Date(startedAtMs).toISOString(),
      home: home.dir,
      dev,
    }),
  })
  undo.defer(() => lifecycle.stop())
  undo.use(parts.egressPool)
  await audit.append(note('vault.start', `vestry ${VERSION} started`), 'synced')
  await openVault(parts, lifecycle, options)
  parts.store.onChange((tables) => {
    if (parts.seal.state !== 'unsealed') return
    // What another node changed must hold here from the next request on.
    if (tables.includes('policy'))
      lifecycle.reloadPolicies().catch(() => parts.policy.close('policies could not be read'))
    if (tables.includes('agent'))
      recheckSessions(parts.sessions, parts.agents).catch(() => parts.sessions.endAll('revoked'))
  })

  const registry = new Registry()
  undo.use(defineProcessMetrics(registry))
  const listeners = openListeners(parts, lifecycle, () => draining, options.warn)
  defineVaultMetrics(registry, parts, () => listeners.connections())
  undo.defer(() => listeners.close(DRAIN_MS))
  await listeners.open(home, config)
  if (tcp !== undefined) await listeners.openTcp(tcp)

  const http = createHttp({
    version: VERSION,
    startedAtMs,
    now: Date.now,
    registry,
    apiKeys: parts.apiKeys,
    loopback: isLoopback(config.http.host),
    state: () => ({
      sealed: parts.seal.state !== 'unsealed',
      auditAvailable: audit.available,
      draining,
    }),
  })
  undo.defer(() => http.close())
  const httpUrl = await listenHttp(http, config, options.port)
  const bound = new URL(httpUrl)
  parts.ownListeners.push({
    address: bound.hostname.replace(/^\[|\]$/g, ''),
    port: Number(bound.port),
  })

  const ready: Ready = {
    pid: process.pid,
    version: VERSION,
    http: httpUrl,
    vault_socket: config.vault.socket ?? home.vaultSocket,
    admin_socket: home.adminSocket,
    ...(listeners.tcp() !== undefined && { vault_tcp: listeners.tcp() as string }),
    admin_key_file: home.adminKey,
    ...(parts.seal.state !== 'unsealed' && { sealed: true as const }),
  }
  keepDebuggerShut(() => {
    audit
      .append(note('host.debugger_refused', 'SIGUSR1 was received and ignored'), 'written')
      .catch(() => undefined)
  })
  writeReady(home.ready, ready)
  const all = undo.move()
  return {
    ready,
    seal: (reason) => lifecycle.seal(reason),
    rotateLog: () => audit.rotate(),
    stop: async () => {
      if (draining) return
      draining = true
      removeReady(home.ready)
      await audit.append(note('vault.stop', 'stopping'), 'written').catch(() => 0)
      await all.disposeAsync()
    },
  }
}

/** Opens the seal with whatever this start was given; stays sealed when that is nothing. */
async function openVault(
  parts: Parts,
  lifecycle: RunningLifecycle,
  options: DaemonOptions,
): Promise<void> {
  const { home, config, dev, passphrase } = options
  if (parts.seal.state === 'uninitialized') {
    using first = await firstStartSlots({ home, dev, passphrase, warn: options.warn })
    const made = await initialise({
      home,
      store: parts.store,
      slots: first.slots,
      dev,
      trustDomain: config.identity.trust_domain,
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

function openListeners(
  parts: Parts,
  lifecycle: RunningLifecycle,
  draining: () => boolean,
  warn: (line: string) => void,
) {
  const onInternalError = (requestId: string, error: unknown): void => {
    warn(`internal error in ${requestId}: ${error instanceof Error ? error.stack : String(error)}`)
  }
  const { config, vault } = parts
  const wire: WireLimits = {
    ...DEFAULT_WIRE_LIMITS,
    maxRequestBytes: config.vault.max_request_bytes,
    inflightPerConnection: config.vault.inflight_per_connection,
    idleTimeoutMs: config.vault.idle_timeout * 1000,
  }
  const monotonic = () => performance.now() // a clock set anew must not time anybody out
  const accept = {
    connections: config.vault.connections,
    perTcpSource: config.vault.connections_per_tcp_source,
    unauthenticated: config.vault.connections_unauthenticated,
  }
  const opened: Listener<never>[] = []
  let tcpBound: string | undefined
  const listen = async (address: Address, onlyAgents?: ReadonlySet<string>) => {
    const name = 'socket' in address ? address.socket : `${address.host}:${address.port}`
    const protocol = agentProtocol(vault, {
      name,
      draining,
      onInternalError,
      docsBaseUrl: config.vault.docs_base_url,
      ...(onlyAgents !== undefined && { onlyAgents }),
    })
    const listener = new Listener({ protocol, wire, accept, now: monotonic })
    const bound = await listener.listen(address)
    opened.push(listener as unknown as Listener<never>)
    return bound
  }
  return {
    connections: () => opened.reduce((sum, { connections }) => sum + connections.size, 0),
    tcp: () => tcpBound,
    open: async (home: Home, { vault: settings }: Config) => {
      const mode = Number.parseInt(settings.socket_mode, 8)
      await listen({ socket: settings.socket ?? home.vaultSocket, mode })
      if (home.legacyVaultSocket !== undefined && settings.socket === undefined) {
        await listenLegacy(home.legacyVaultSocket, (socket) => listen({ socket, mode }))
      }
      for (const { path, agents } of settings.sockets)
        await listen({ socket: path, mode }, new Set(agents))
      const admin = new Listener({
        protocol: adminProtocol(parts.adminDeps(lifecycle), onInternalError),
        wire: { ...wire, idleTimeoutMs: 0 },
        accept: { connections: 64, perTcpSource: 64, unauthenticated: 32 },
        now: monotonic,
      })
      await admin.listen({ socket: home.adminSocket, mode: 0o600 })
      opened.push(admin as unknown as Listener<never>)
    },
    openTcp: async (address: TcpAddress) => {
      const bound = await listen(address)
      if ('socket' in bound) return
      parts.ownListeners.push({ address: bound.host, port: bound.port })
      tcpBound = `${bound.host}:${bound.port}`
    },
    close: async (budgetMs: number) => {
      await Promise.all(opened.map((listener) => listener.close(budgetMs)))
    },
  }
}

/** The published clients' own folder, made as private as they expect it. */
async function listenLegacy(
  path: string,
  listen: (path: string) => Promise<unknown>,
): Promise<void> {
  const { mkdirSync } = await import('node:fs')
  const { dirname } = await import('node:path')
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  await listen(path)
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

async function listenHttp(
  http: ReturnType<typeof createHttp>,
  config: Config,
  port: number | undefined,
): Promise<string> {
  const wanted = port ?? config.http.port
  try {
    await http.listen({ host: config.http.host, port: wanted })
  } catch (cause) {
    throw new VestryError(
      'CONFIG_INVALID',
      `cannot listen on ${config.http.host}:${wanted}: ${(cause as Error).message}`,
      {
        hint: 'Choose another port with --port, or 0 for any free one',
        cause,
      },
    )
  }
  const address = http.server.address()
  if (address === null || typeof address === 'string') throw new VestryError('INTERNAL_ERROR')
  const host = address.family === 'IPv6' ? `[${address.address}]` : address.address
  return `http://${host}:${address.port}`
}

function isLoopback(host: string): boolean {
  return (
    host === 'localhost' || host === '::1' || host === '[::1]' || /^127(?:\.\d{1,3}){3}$/.test(host)
  )
}
