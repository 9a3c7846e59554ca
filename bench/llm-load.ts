/**
 * Callers of a model gateway, in lock-step. As the published client does it, each call has a connection of its own;
 * `keepAlive` is for those who can do without.
 */
import { Pool } from 'undici'
import type { Measured } from './load.ts'

export interface LlmTarget {
  readonly origin: string
  readonly socketPath?: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
}

export interface LlmLoad {
  readonly target: LlmTarget
  readonly callers: number
  readonly seconds: number
  readonly keepAlive?: boolean
  readonly stream?: boolean
}

export interface Streamed {
  readonly perSecond: number
  /** Microseconds from the request to its first event, and to its end. */
  readonly first: { p50: number; p99: number }
  readonly whole: { p50: number; p99: number }
}

const WARMUP_SECONDS = 1

export async function runLlmLoad(load: LlmLoad): Promise<Measured> {
  const { whole, perSecond } = await run(load)
  return { perSecond, ...whole }
}

export function runStreams(load: Omit<LlmLoad, 'stream'>): Promise<Streamed> {
  return run({ ...load, stream: true })
}

/** So many streams, as fast as `callers` can take them. */
export async function streamOften(
  target: LlmTarget,
  callers: number,
  count: number,
): Promise<void> {
  await using pool = poolFor(target, callers)
  let left = count
  await Promise.all(
    Array.from({ length: callers }, async () => {
      while (left-- > 0) await call(pool, target, { keepAlive: false, stream: true })
    }),
  )
}

async function run({ target, callers, seconds, keepAlive = false, stream = false }: LlmLoad) {
  await using pool = poolFor(target, callers)
  const counting = performance.now() + WARMUP_SECONDS * 1000
  const end = counting + seconds * 1000
  const first: number[] = []
  const whole: number[] = []
  await Promise.all(
    Array.from({ length: callers }, async () => {
      while (performance.now() < end) {
        const took = await call(pool, target, { keepAlive, stream })
        const now = performance.now()
        if (now < counting || now >= end) continue
        first.push(took.first)
        whole.push(took.whole)
      }
    }),
  )
  return {
    perSecond: Math.round(whole.length / seconds),
    first: shares(first),
    whole: shares(whole),
  }
}

function poolFor({ origin, socketPath }: LlmTarget, callers: number) {
  const pool = new Pool(origin, {
    connections: callers,
    pipelining: 1,
    ...(socketPath !== undefined && { socketPath }),
  })
  return Object.assign(pool, { [Symbol.asyncDispose]: () => pool.close() })
}

let calls = 0

async function call(
  pool: Pool,
  { path, headers }: LlmTarget,
  { keepAlive, stream }: { keepAlive: boolean; stream: boolean },
): Promise<{ first: number; whole: number }> {
  calls += 1
  const body = JSON.stringify({
    model: 'gpt-4o',
    messages: [
      { role: 'system', content: 'You review source code.' },
      { role: 'user', content: `Is file ${calls} safe?` },
    ],
    max_tokens: 100,
    temperature: 0,
    ...(stream && { stream: true, stream_options: { include_usage: true } }),
  })
  const before = performance.now()
  const reply = await pool.request({
    method: 'POST',
    path,
    headers: { 'content-type': 'application/json', ...headers },
    body,
    reset: !keepAlive,
  })
  let first = 0
  let text = ''
  for await (const chunk of reply.body) {
    if (first === 0) first = performance.now() - before
    text += chunk
  }
  const whole = performance.now() - before
  if (reply.statusCode !== 200) throw new Error(`${reply.statusCode} ${text}`)
  if (stream && !text.endsWith('data: [DONE]\n\n')) throw new Error(`cut: ${text.slice(-200)}`)
  return { first: first * 1000, whole: whole * 1000 }
}

function shares(latencies: number[]): { p50: number; p99: number } {
  latencies.sort((a, b) => a - b)
  const at = (share: number) => Math.round(latencies[Math.floor(latencies.length * share)] ?? 0)
  return { p50: at(0.5), p99: at(0.99) }
}
