/** Lock-step HTTP callers on kept-alive connections: requests per second and latencies in microseconds. */
import { Pool } from 'undici'
import type { Measured } from './load.ts'

export interface HttpLoad {
  readonly origin: string
  readonly connections: number
  readonly seconds: number
  readonly warmupSeconds: number
  readonly request: (n: number) => {
    path: string
    headers: Record<string, string>
    body: string
  }
}

export async function runHttpLoad(load: HttpLoad): Promise<Measured> {
  const pool = new Pool(load.origin, { connections: load.connections, pipelining: 1 })
  const started = performance.now()
  const counting = started + load.warmupSeconds * 1000
  const end = counting + load.seconds * 1000
  const latencies: number[] = []
  let next = 0
  await Promise.all(
    Array.from({ length: load.connections }, async () => {
      while (performance.now() < end) {
        const { path, headers, body } = load.request(next++)
        const before = performance.now()
        const reply = await pool.request({ method: 'POST', path, headers, body })
        const text = await reply.body.text()
        if (reply.statusCode !== 200) throw new Error(`${reply.statusCode} ${text}`)
        const now = performance.now()
        if (now >= counting && now < end) latencies.push((now - before) * 1000)
      }
    }),
  )
  await pool.close()
  latencies.sort((a, b) => a - b)
  const at = (share: number) => Math.round(latencies[Math.floor(latencies.length * share)] ?? 0)
  return { perSecond: Math.round(latencies.length / load.seconds), p50: at(0.5), p99: at(0.99) }
}
