/**
 * Puts telemetry together: the queue socket with its collector and action lane, the identity socket, the export;
 * and says what they do when the vault opens, closes and the daemon stops. All of it works while sealed, except for
 * what needs keys.
 */
import { accessSync, chmodSync, constants, mkdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { AdminVerb } from '../admin/verb.ts'
import { assertSocketPath } from '../http/listen-on-socket.ts'
import { readProcessPeer } from '../identity/claims/process-peer.ts'
import type { Registry } from '../metrics/registry.ts'
import { createActionLane } from '../telemetry/actions/action-lane.ts'
import { Collector } from '../telemetry/collector/collector.ts'
import { QueueSocket } from '../telemetry/collector/queue-socket.ts'
import { defineTelemetryMetrics } from '../telemetry/metrics.ts'
import { type Pod, podOf } from '../telemetry/pod.ts'
import type { Parts } from './assemble.ts'
import { assembleClaims } from './claims-part.ts'
import type { Config } from './config.ts'
import { assembleExport } from './export-part.ts'
import type { GatewayPart } from './gateway-parts.ts'
import type { Home } from './home.ts'

/** Where producers look that were not told of another place. */
const POD_DIRECTORY = '/run/envpod'
/** Of the kernel's own times, per second, on every Linux that there is. */
const TICKS = 100

export interface TelemetrySockets {
  readonly queue_socket: string
  readonly identity_socket: string
}

export interface TelemetryPart {
  readonly verbs: readonly AdminVerb[]
  /** @throws VestryError NOT_INITIALIZED before there is a vault. */
  pod(): Promise<Pod>
  /** Facts for `vestry status` and `doctor`. */
  describe(): Record<string, unknown>
  /** The vault is open and policies are in force. */
  open(): Promise<void>
  /** What was changed, here or on another node. */
  onChange(tables: readonly string[]): void
  /** Opens the sockets, also while sealed. @returns undefined when telemetry is off. */
  listen(): Promise<TelemetrySockets | undefined>
  /** What was sent is stored, what was stored is acknowledged, then the connections end. */
  drain(budgetMs: number): Promise<void>
  /** Sealed: nothing that needs keys stays in memory. */
  close(): Promise<void>
}

/** For the start, before anything is made. @throws VestryError CONFIG_INVALID for a path that is too long. */
export function assertTelemetrySockets(home: Home, { telemetry }: Config): void {
  if (!telemetry.enabled) return
  assertSocketPath(telemetry.queue_socket ?? home.queueSocket)
  assertSocketPath(telemetry.identity_socket ?? home.identitySocket)
}

export function assembleTelemetry(
  parts: Parts,
  options: {
    gateway: GatewayPart
    registry: Registry
    env: NodeJS.ProcessEnv
    warn: (line: string) => void
    podDirectory: string | undefined
  },
): TelemetryPart {
  const { config, home, store, audit, seal, vault, podName } = parts
  const { warn, podDirectory = POD_DIRECTORY } = options
  const settings = config.telemetry
  const mode = Number.parseInt(settings.socket_mode, 8)
  const monotonic = () => performance.now()
  const startTicks = ticksSinceBoot()

  let known: Promise<Pod> | undefined
  const pod = (): Promise<Pod> => {
    known ??= podOf(store, podName).catch((error: unknown) => {
      known = undefined // it may be made in a moment
      throw error
    })
    return known
  }

  let queue: { collector: Collector; socket: QueueSocket } | undefined
  const metrics = defineTelemetryMetrics(options.registry, {
    connections: () => queue?.socket.connections ?? 0,
    producers: () => queue?.collector.producers ?? 0,
    claims: () => claims.count(),
    exportLag: () => exported.lag(),
  })
  const claims = assembleClaims(parts, { pod, onClaim: (outcome) => metrics.claim(outcome), warn })
  const exported = assembleExport(parts, { meter: metrics, env: options.env, warn })
  const lane = createActionLane({
    gateway: options.gateway.gateway,
    settings,
    metrics,
    monotonic,
  })
  if (settings.enabled && claims.unavailable !== undefined) {
    warn(
      `telemetry: nobody can claim an identity here, every caller is anonymous: ${claims.unavailable}`,
    )
  }
  let places: string[] = []

  const openQueue = async (): Promise<QueueSocket> => {
    const collector = new Collector({
      audit,
      claims: claims.resolver,
      pod: await pod(),
      settings,
      metrics,
      hashKey: () => (seal.state === 'unsealed' ? seal.keys.hashKey : undefined),
      startTicks,
      now: vault.now,
      monotonic,
    })
    const socket = new QueueSocket({
      collector,
      answer: lane.answer,
      maxCapture: settings.max_capture,
      linesPerSecond: settings.lines_per_second,
      linesBurst: settings.lines_burst,
      onHeld: () => metrics.held(),
      onInternalError: (error) =>
        warn(`internal error on the queue socket: ${error instanceof Error ? error.stack : error}`),
      monotonic,
      peer: (connection) => readProcessPeer(connection),
      maxConnections: settings.connections,
      onRefused: () => metrics.refusedConnection(),
    })
    queue = { collector, socket }
    return socket
  }

  /** A place that others use, or that cannot be used, is no reason not to start. */
  const listenInPod = async (name: string, listen: (path: string) => Promise<void>) => {
    const path = join(podDirectory, name)
    try {
      await listen(path)
      places.push(path)
    } catch (error) {
      warn(`telemetry: not listening on ${path}: ${(error as Error).message}`)
    }
  }

  return {
    verbs: [...claims.verbs, ...exported.verbs],
    pod,
    describe: () => ({
      enabled: settings.enabled,
      sockets: places,
      connections: queue?.socket.connections ?? 0,
      producers: queue?.collector.producers ?? 0,
      claims: claims.count(),
      ...(claims.unavailable !== undefined && { claims_unavailable: claims.unavailable }),
      last_gap: queue?.collector.lastGap ?? null,
      max_capture: settings.max_capture,
      ...(exported.status() !== undefined && { export: exported.status() }),
    }),
    open: async () => {
      await claims.open()
      exported.wake()
    },
    onChange: (tables) => {
      claims.onChange(tables)
      if (tables.includes('credential') || tables.includes('credential_version')) exported.wake()
    },
    listen: async () => {
      if (!settings.enabled) return undefined
      const socket = await openQueue()
      exported.start(await pod())
      const sockets = {
        queue_socket: settings.queue_socket ?? home.queueSocket,
        identity_socket: settings.identity_socket ?? home.identitySocket,
      }
      await socket.listen(sockets.queue_socket, mode)
      await claims.listen(sockets.identity_socket, mode)
      places = [sockets.queue_socket, sockets.identity_socket]
      await openToSandboxes(home, async (name, path, open) => {
        await (name === 'queue' ? socket : claims).listen(path, open)
      })
      if (settings.pod_sockets && isOwn(podDirectory)) {
        await listenInPod('queue.sock', (path) => socket.listen(path, mode))
        await listenInPod('identity.sock', (path) => claims.listen(path, mode))
      }
      return sockets
    },
    drain: async (budgetMs) => {
      const endsMs = performance.now() + budgetMs
      await Promise.all([queue?.socket.close(budgetMs), claims.drain(budgetMs)])
      queue?.collector.close()
      lane[Symbol.dispose]()
      await exported.stop(Math.max(0, endsMs - performance.now()))
    },
    close: () => Promise.resolve(),
  }
}

/**
 * Once more for agents in a sandbox, whoever they run as: their view shows them this directory, to which nobody else
 * comes as long as the one around it is ours alone.
 */
async function openToSandboxes(
  home: Home,
  listen: (name: 'queue' | 'identity', path: string, mode: number) => Promise<void>,
): Promise<void> {
  mkdirSync(home.podSockets, { recursive: true })
  const isClosed = (statSync(home.run).mode & 0o077) === 0
  chmodSync(home.podSockets, isClosed ? 0o755 : 0o700)
  for (const name of ['queue', 'identity'] as const)
    await listen(name, join(home.podSockets, `${name}.sock`), isClosed ? 0o666 : 0o600)
}

/** A directory that we may write to, and that not everybody may. */
function isOwn(directory: string): boolean {
  const found = statSync(directory, { throwIfNoEntry: false })
  if (found === undefined || !found.isDirectory() || (found.mode & 0o002) !== 0) return false
  try {
    accessSync(directory, constants.W_OK | constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** Where it cannot be known, every process may have been there before us. */
function ticksSinceBoot(): bigint {
  try {
    const seconds = Number(readFileSync('/proc/uptime', 'latin1').split(' ')[0])
    if (Number.isFinite(seconds)) return BigInt(Math.ceil(seconds * TICKS))
  } catch {
    // Not Linux.
  }
  return BigInt(Number.MAX_SAFE_INTEGER)
}
