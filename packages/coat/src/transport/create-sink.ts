/** Chooses how events leave this process. */
import { randomBytes } from 'node:crypto'
import { threadId } from 'node:worker_threads'
import { Dispatcher } from './dispatcher.ts'
import { openFile } from './file.ts'
import { silentSink } from './silent-sink.ts'
import type { Sink } from './sink.ts'
import { openStderr } from './stderr.ts'

/** What stderr may hold back at most: nobody was promised that it is read. */
const STDERR_BYTES = 256 * 1024

export interface SinkOptions {
  /** `auto`: the socket in a pod, else stderr. */
  readonly transport: 'auto' | 'socket' | 'stderr' | 'off' | `file:${string}`
  readonly inPod: boolean
  readonly socketPath: string
  readonly bufferEvents: number
  readonly bufferBytes: number
  /** The longest that an event waits before the first attempt to write it. */
  readonly flushMs: number
  /** Including the newline. */
  readonly maxLineBytes: number
  /** Named on stderr and in files only: on the socket the collector knows better. */
  readonly agentId: string
  readonly agentRole: string
  readonly version: string
  readonly flushOnSignals: boolean
}

/** Opens nothing yet: that waits for the first event. */
export function createSink(options: SinkOptions): Sink {
  const { transport, inPod, bufferEvents, bufferBytes, version } = options
  if (transport === 'off') return silentSink()
  const isSocket = transport === 'socket' || (transport === 'auto' && inPod)
  const path = transport.startsWith('file:') ? transport.slice('file:'.length) : undefined
  const isStderr = !isSocket && path === undefined
  return new Dispatcher({
    origin: {
      producerId: `p_${randomBytes(8).toString('hex')}`,
      pid: process.pid,
      tid: threadId,
      version,
    },
    limits: {
      events: bufferEvents,
      bytes: isStderr ? Math.min(bufferBytes, STDERR_BYTES) : bufferBytes,
    },
    flushMs: options.flushMs,
    maxLineBytes: options.maxLineBytes,
    agentId: options.agentId,
    agentRole: options.agentRole,
    flushOnSignals: options.flushOnSignals,
    socketPath: isSocket ? options.socketPath : undefined,
    openFile: path === undefined ? undefined : () => openFile(path),
    openStderr,
  })
}
