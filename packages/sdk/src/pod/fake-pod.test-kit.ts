/** An identity socket that answers as a test tells it to. */
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { onTestFinished } from 'vitest'

export type Message = Record<string, unknown>

export interface FakePod {
  readonly path: string
  readonly asked: Message[]
  readonly sockets: Set<Socket>
  /** How many connections there have been. */
  connections: number
  /** undefined: no answer. */
  answer: (request: Message, socket: Socket) => Message | string | undefined
}

export const claimed = (expiresInMs = 3_600_000, id = 'jti_1'): Message => ({
  ok: true,
  claim: {
    claim_id: id,
    agent_id: 'reviewer',
    agent_uuid: 'u',
    agent_role: 'code-review',
    capabilities: ['read'],
    session: 'sess_1',
    scope: 'process',
    issued_at: new Date().toISOString(),
    expires_at: new Date(Date.now() + expiresInMs).toISOString(),
  },
  token: 'jwt',
})

export async function fakePod(): Promise<FakePod> {
  const dir = mkdtempSync(join(tmpdir(), 'pod-'))
  const path = join(dir, 'identity.sock')
  const pod: FakePod = {
    path,
    asked: [],
    sockets: new Set(),
    connections: 0,
    answer: () => claimed(),
  }
  const server = createServer((socket) => {
    pod.sockets.add(socket)
    pod.connections += 1
    socket.on('error', () => undefined)
    socket.once('close', () => pod.sockets.delete(socket))
    createInterface({ input: socket }).on('line', (line) => {
      const request = JSON.parse(line) as Message
      pod.asked.push(request)
      const answer = pod.answer(request, socket)
      if (answer === undefined) return
      const text =
        typeof answer === 'string' ? answer : JSON.stringify({ id: request['id'], ...answer })
      socket.write(`${text}\n`)
    })
  })
  await new Promise<void>((resolve) => server.listen(path, resolve))
  onTestFinished(() => {
    for (const socket of pod.sockets) socket.destroy()
    server.close()
    rmSync(dir, { recursive: true })
  })
  return pod
}
