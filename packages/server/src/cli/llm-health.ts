/** Asks the LLM gateway on its socket whether it serves, as agents' clients do. */
import type { Socket } from 'node:net'
import { socketDialer } from '../egress/dial.ts'

const TIMEOUT_MS = 2_000
const MAX_ANSWER_BYTES = 4_096
const REQUEST = 'GET /health HTTP/1.1\r\nHost: gateway.local\r\nConnection: close\r\n\r\n'

/** @returns What is wrong, as text; undefined when it serves. */
export async function healthProblem(path: string): Promise<string | undefined> {
  try {
    const socket = await socketDialer(path, { timeoutMs: TIMEOUT_MS })()
    const answer = await answerOf(socket)
    const [, status] = /^HTTP\/1\.1 (\d{3}) /.exec(answer) ?? []
    if (status === '200' && answer.endsWith('{"status":"ok"}')) return undefined
    return status === undefined ? 'what answers is no LLM gateway' : `answers ${status}`
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return 'is not there'
    if (code === 'ECONNREFUSED') return 'nothing listens on it'
    return message
  }
}

function answerOf(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = ''
    const timer = setTimeout(() => socket.destroy(new Error('does not answer')), TIMEOUT_MS)
    socket.setEncoding('latin1')
    socket.on('data', (text: string) => {
      answer += text
      if (answer.length > MAX_ANSWER_BYTES) socket.destroy()
    })
    socket.once('end', () => socket.destroy())
    socket.once('error', reject)
    socket.once('close', () => {
      clearTimeout(timer)
      resolve(answer)
    })
    socket.end(REQUEST)
  })
}
