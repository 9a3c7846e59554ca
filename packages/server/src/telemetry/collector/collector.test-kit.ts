/** A collector on a queue socket of its own, with a real log on a disk that can be told to refuse. */
import type { KeyObject } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createConnection, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { AuditLog } from '../../audit/log.ts'
import type { AuditLimits } from '../../audit/log-options.ts'
import type { AuditRecord } from '../../audit/record.ts'
import { openLogFile } from '../../audit/segment.ts'
import type { ProcessPeer, Resolution, UnknownPeer } from '../../identity/claims/resolution.ts'
import { Registry } from '../../metrics/registry.ts'
import { defineTelemetryMetrics } from '../metrics.ts'
import type { TelemetrySettings } from '../settings.ts'
import { Collector } from './collector.ts'
import { QueueSocket } from './queue-socket.ts'

export interface CollectorWorld extends AsyncDisposable {
  readonly path: string
  readonly registry: Registry
  readonly disk: { refuses: boolean }
  readonly socket: QueueSocket
  /** Whoever connects from now on. */
  peer: ProcessPeer | UnknownPeer
  resolution: Resolution
  /** None, as while sealed, unless a test has one. */
  hashKey: KeyObject | undefined
  /** Faults of ours. */
  readonly errors: unknown[]
  /** How often the log was asked to bring all it has to the disk. */
  readonly syncs: number
  connect(): Promise<Client>
  records(action: string): AuditRecord[]
  /** Of the log. */
  readonly dir: string
  /** All of the log. */
  text(): string
  /** Begins a new segment of the log. */
  rotate(): Promise<void>
  /** The log and the collector anew, on the same directory, as after a crash. */
  restart(): Promise<void>
}

export interface Client {
  readonly socket: Socket
  readonly answers: Record<string, unknown>[]
  send(...lines: (object | string)[]): void
}

export const PRODUCER = 'p_77aa10e4c2d98b35'
export const HELLO = { type: 'aot_hello', spec: 'aotp/0.1', producer: PRODUCER, ack: true }

export function event(seq: number, id = PRODUCER): object {
  return {
    spec: 'aotp/0.1',
    kind: 'agent.step.start',
    ts: new Date().toISOString(),
    ids: { trace_id: 'tr_6e1f', span_id: `sp_${seq}` },
    subject: { agent_id: '', agent_role: '', framework: 'mine', framework_version: '1' },
    capture: { mode: 'none' },
    payload: { fn: 'work', op: 'step' },
    producer: { id, seq },
  }
}

export async function openWorld(
  options: { settings?: Partial<TelemetrySettings>; limits?: Partial<AuditLimits> } = {},
): Promise<CollectorWorld> {
  const dir = mkdtempSync(join(tmpdir(), 'coat-'))
  const path = join(dir, 'q.sock')
  const disk = { refuses: false }
  const registry = new Registry()
  const metrics = defineTelemetryMetrics(registry, {
    connections: () => world.socket.connections,
    producers: () => 0,
    claims: () => 0,
    exportLag: () => 0,
  })
  const clients = new Set<Socket>()
  const errors: unknown[] = []
  let syncs = 0
  const open = async () => {
    const audit = await AuditLog.open({
      dir: join(dir, 'audit'),
      podName: 'test',
      now: Date.now,
      limits: { retryMs: 20, ...options.limits },
      openFile: (name, create) => {
        const file = openLogFile(name, create)
        return {
          ...file,
          get size() {
            return file.size
          },
          get gone() {
            return file.gone
          },
          write: (bytes) => {
            if (disk.refuses) throw Object.assign(new Error('full'), { code: 'ENOSPC' })
            file.write(bytes)
          },
        }
      },
    })
    const flush = audit.flush.bind(audit)
    audit.flush = () => {
      syncs += 1
      return flush()
    }
    const collector = new Collector({
      audit,
      claims: { resolve: () => world.resolution },
      pod: { id: 'pod_test', name: 'test' },
      settings: { max_capture: 'raw', ...options.settings },
      metrics,
      hashKey: () => world.hashKey,
      startTicks: 1_000n,
      now: Date.now,
      monotonic: () => performance.now(),
    })
    const socket = new QueueSocket({
      collector,
      answer: async () => ({ ok: true, status: 'ok' }),
      maxCapture: 'raw',
      linesPerSecond: options.settings?.lines_per_second ?? 1_000_000,
      linesBurst: options.settings?.lines_burst ?? 1_000_000,
      onHeld: () => metrics.held(),
      onInternalError: (error) => errors.push(error),
      monotonic: () => performance.now(),
      peer: () => world.peer,
      maxConnections: options.settings?.connections ?? 1_024,
      onRefused: () => metrics.refusedConnection(),
    })
    await socket.listen(path, 0o600)
    return { audit, collector, socket }
  }
  const close = async () => {
    for (const client of clients) client.destroy()
    await running.socket.close(1_000)
    running.collector.close()
    await running.audit.close()
  }
  const world: CollectorWorld = {
    path,
    registry,
    dir: join(dir, 'audit'),
    disk,
    get socket() {
      return running.socket
    },
    // Began after the collector's 1000th tick.
    peer: { pid: 4_242, uid: 1_000, gid: 1_000, startTime: '2000', sessionId: 4_000 },
    resolution: { kind: 'anonymous', stale: false },
    hashKey: undefined,
    errors,
    get syncs() {
      return syncs
    },
    connect: async () => {
      const socket = createConnection(path)
      await new Promise<void>((resolve, reject) => {
        socket.once('connect', resolve)
        socket.once('error', reject)
      })
      clients.add(socket)
      socket.on('error', () => undefined)
      const answers: Record<string, unknown>[] = []
      let text = ''
      socket.setEncoding('utf8').on('data', (more: string) => {
        const lines = (text + more).split('\n')
        text = lines.pop() ?? ''
        for (const line of lines) answers.push(JSON.parse(line) as Record<string, unknown>)
      })
      return {
        socket,
        answers,
        send: (...lines) => {
          const all = lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line)))
          socket.write(`${all.join('\n')}\n`)
        },
      }
    },
    records: (action) =>
      readFileSync(join(dir, 'audit', 'audit.jsonl'), 'utf8')
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as AuditRecord)
        .filter((record) => record.action === action),
    text: () => readFileSync(join(dir, 'audit', 'audit.jsonl'), 'utf8'),
    rotate: () => running.audit.rotate(),
    restart: async () => {
      await close()
      running = await open()
    },
    [Symbol.asyncDispose]: async () => {
      disk.refuses = false
      await close()
      rmSync(dir, { recursive: true, force: true })
    },
  }
  let running = await open()
  return world
}

export function metric({ registry }: Pick<CollectorWorld, 'registry'>, name: string): number {
  const line = registry
    .render()
    .split('\n')
    .find((one) => one.startsWith(`${name} `))
  return Number(line?.split(' ')[1])
}
