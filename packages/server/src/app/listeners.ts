/** Every socket the vault answers on: agents', operators', and TCP when it is configured. */
import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { adminProtocol } from '../admin/protocol.ts'
import type { AdminVerb } from '../admin/verb.ts'
import { agentProtocol } from '../vault/agent-protocol.ts'
import { type Address, Listener } from '../vault/wire/listener.ts'
import type { Protocol } from '../vault/wire/protocol.ts'
import { DEFAULT_WIRE_LIMITS, type WireLimits } from '../vault/wire/wire-limits.ts'
import type { Parts } from './assemble.ts'
import type { AutoSeal } from './auto-seal.ts'
import type { Config } from './config.ts'
import type { Home } from './home.ts'
import type { RunningLifecycle } from './lifecycle.ts'
import type { TcpAddress } from './tcp-address.ts'

/** They ask for nothing of the vault, or have no end. */
const NO_USE = new Set(['ping', 'status', 'admin.audit.tail'])

export interface Listeners {
  connections(): number
  /** Address of the TCP listener, if there is one. */
  tcp(): string | undefined
  open(home: Home, config: Config): Promise<void>
  openTcp(address: TcpAddress): Promise<void>
  close(budgetMs: number): Promise<void>
}

/** Opens nothing yet; what `open` and `openTcp` opened, `close` drains. */
export function createListeners(
  parts: Parts,
  lifecycle: RunningLifecycle,
  options: {
    draining: () => boolean
    /** What operators may call. */
    verbs: readonly AdminVerb[]
    autoSeal: AutoSeal
    warn: (line: string) => void
  },
): Listeners {
  const { draining, verbs, autoSeal, warn } = options
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
  const population = { size: 0 }
  const opened: Pick<Listener<unknown>, 'connections' | 'close'>[] = []
  let tcpBound: string | undefined
  const open = async <State>(
    address: Address,
    deps: ConstructorParameters<typeof Listener<State>>[0],
  ) => {
    const listener = new Listener<State>(deps)
    opened.push(listener)
    return listener.listen(address)
  }
  const listen = async (address: Address, onlyAgents?: ReadonlySet<string>) => {
    const name = 'socket' in address ? address.socket : `${address.host}:${address.port}`
    const protocol = agentProtocol(vault, {
      name,
      draining,
      onInternalError,
      docsBaseUrl: config.vault.docs_base_url,
      ...(onlyAgents !== undefined && { onlyAgents }),
    })
    return open(address, {
      protocol: counted(protocol, autoSeal),
      wire,
      accept,
      population,
      now: monotonic,
    })
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
      const admin = adminProtocol(parts.adminDeps(lifecycle), verbs, onInternalError)
      await open(
        { socket: home.adminSocket, mode: 0o600 },
        {
          protocol: counted(admin, autoSeal),
          wire: { ...wire, idleTimeoutMs: 0 },
          accept: { connections: 64, perTcpSource: 64, unauthenticated: 32 },
          now: monotonic,
        },
      )
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

function counted<State>(protocol: Protocol<State>, autoSeal: AutoSeal): Protocol<State> {
  return {
    ...protocol,
    handle: (state, running, emit) => {
      const run = () => protocol.handle(state, running, emit)
      // Strangers use nothing: else any of them could keep the vault open.
      const uses = protocol.authenticated(state) && !NO_USE.has(running.request.method)
      return uses ? autoSeal.during(run) : run()
    },
  }
}

/** The published clients' own folder, made as private as they expect it. */
async function listenLegacy(
  path: string,
  listen: (path: string) => Promise<unknown>,
): Promise<void> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  await listen(path)
}
