/**
 * `vestry up` to ready on the second start, idle memory, and memory per idle connection. Bars: ≤ 600 ms,
 * ≤ 160 MB, ≤ 20 KB. The start is compared with a bare Node process that prints one line.
 */
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { removeHome, temporaryHome } from './processes.ts'
import { report } from './report.ts'

const ROUNDS = 7
const CONNECTIONS = 1_000
const VESTRY = new URL('../packages/server/bin/vestry.js', import.meta.url).pathname

const home = temporaryHome({ vault: { connections: 4_000, connections_unauthenticated: 4_000 } })
try {
  await start().then(({ stop }) => stop())
  const starts: number[] = []
  const bare: number[] = []
  for (let round = 0; round < ROUNDS; round += 1) {
    bare.push(await bareNode())
    const { milliseconds, stop } = await start()
    starts.push(milliseconds)
    await stop()
  }
  const daemon = await start()
  await pause(3_000)
  const idle = rss(daemon.pid)
  const sockets = await Promise.all(Array.from({ length: CONNECTIONS }, () => open()))
  await pause(500)
  const connected = rss(daemon.pid)
  for (const socket of sockets) socket.destroy()
  await daemon.stop()
  report('startup', {
    question: 'second start to ready, idle memory, memory per idle connection',
    bar: 'ready ≤ 600 ms, idle ≤ 160 MB, connection ≤ 20 KB',
    ready_ms: median(starts),
    bare_node_ms: median(bare),
    ratio: median(starts) / median(bare),
    idle_rss_mb: idle / 1024,
    per_connection_kb: (connected - idle) / CONNECTIONS,
  })
} finally {
  removeHome(home)
}

async function start(): Promise<{ milliseconds: number; pid: number; stop: () => Promise<void> }> {
  const before = performance.now()
  const child = spawn(process.execPath, [VESTRY, 'up', '--home', home, '--dev', '--port', '0'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  await new Promise<void>((ready, failed) => {
    child.stdout.on('data', (text: Buffer) => text.toString().startsWith('ready') && ready())
    child.once('exit', (code) => failed(new Error(`vestry up exited with ${code}`)))
  })
  const milliseconds = performance.now() - before
  return {
    milliseconds,
    pid: child.pid ?? 0,
    stop: async () => {
      const gone = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGTERM')
      await gone
    },
  }
}

async function bareNode(): Promise<number> {
  const before = performance.now()
  const child = spawn(process.execPath, ['-e', 'console.log("ready")'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  await new Promise((ready) => child.stdout.once('data', ready))
  return performance.now() - before
}

function open(): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path: `${home}/run/vault.sock` })
    socket.once('connect', () => resolve(socket))
    socket.once('error', reject)
  })
}

/** Resident memory in KiB, as the kernel counts it. */
function rss(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0)
}

function median(values: number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] as number
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
