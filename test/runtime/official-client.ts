/** The published MCP client, which runs beside the test. */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

// biome-ignore lint/suspicious/noExplicitAny: tests assert on whatever came back
type Json = any

export interface OfficialClient extends AsyncDisposable {
  /** @throws Error as the client did, with its code in front. */
  do(op: 'connect' | 'list' | 'call' | 'end', more: object): Promise<Json>
  /** Resolves when the client hears the next time that its tools changed. */
  changed(client: string): Promise<void>
}

export function startOfficialClient(): OfficialClient {
  const program = join(import.meta.dirname, 'official-client.mjs')
  // Without what the test runner has set for itself.
  const env = { PATH: process.env['PATH'] }
  const child = spawn(process.execPath, [program], { stdio: ['pipe', 'pipe', 'inherit'], env })
  const waiting = new Map<number, PromiseWithResolvers<Json>>()
  const listening: { client: string; heard: () => void }[] = []
  let last = 0
  createInterface({ input: child.stdout }).on('line', (line) => {
    const { id, result, error, changed } = JSON.parse(line)
    for (const one of listening.filter(({ client }) => client === changed)) {
      listening.splice(listening.indexOf(one), 1)
      one.heard()
    }
    const asked = waiting.get(id)
    waiting.delete(id)
    if (error === undefined) asked?.resolve(result)
    else asked?.reject(new Error(`${error.code}: ${error.message}`))
  })
  return {
    do: (op, more) => {
      last += 1
      const asked = Promise.withResolvers<Json>()
      waiting.set(last, asked)
      child.stdin.write(`${JSON.stringify({ id: last, op, ...more })}\n`)
      return asked.promise
    },
    changed: (client) => new Promise((heard) => listening.push({ client, heard })),
    async [Symbol.asyncDispose]() {
      const ended = new Promise((resolve) => child.once('close', resolve))
      child.stdin.end()
      await ended
    },
  }
}
