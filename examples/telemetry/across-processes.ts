/** One trace over two processes: headers carry the active span, the environment does too. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { coat, current, extract, flush, inject, stats, withContext } from '@vestry/coat'

/** What serves the request continues the trace of the one that sent it. */
const answer = coat('tool', async function answer() {
  return current()?.trace_id
})

const server = createServer((request, response) => {
  void withContext(extract(request.headers), answer).then((trace) => response.end(trace))
})

const ask = coat('step', async function ask(url: string) {
  const response = await fetch(url, { headers: inject({ accept: 'text/plain' }) })
  return response.text()
})

/** A child process finds its parent in the environment. */
const runChild = coat('tool', async function runChild(script: string) {
  const { traceparent = '' } = inject<{ traceparent?: string }>({})
  const child = spawn(process.execPath, ['--eval', script], {
    env: { ...process.env, TRACEPARENT: traceparent },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  child.stdout.on('data', (text) => {
    output += text
  })
  await once(child, 'close')
  return output.trim()
})

const work = coat('run', async function work() {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const trace = current()?.trace_id
  const served = await ask(`http://127.0.0.1:${port}/`)
  const seen = await runChild('console.log(process.env.TRACEPARENT)')
  server.close()
  return { trace, served, seen }
})

export async function acrossProcesses() {
  const result = await work()
  await flush(1000)
  const { emitted, dropped } = stats()
  return { ...result, emitted, dropped }
}

if (import.meta.main) console.log(JSON.stringify(await acrossProcesses()))
