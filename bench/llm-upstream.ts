/**
 * A model provider for the benchmark of model calls: answers every chat with the same small completion, or streams one,
 * an event every few milliseconds.
 */
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

const EVENTS = 10
const PAUSE_MS = 5

const HEAD = { id: 'chatcmpl-bench', created: 1_795_160_011, model: 'gpt-4o' }
const USAGE = { prompt_tokens: 20, completion_tokens: 10, total_tokens: 30 }
const COMPLETION = Buffer.from(
  JSON.stringify({
    ...HEAD,
    object: 'chat.completion',
    choices: [
      {
        index: 0,
        message: { role: 'assistant', content: 'It looks safe to me, as far as I can see.' },
        finish_reason: 'stop',
      },
    ],
    usage: USAGE,
  }),
)

const server = createServer(async (request, response) => {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk)
  const { stream } = JSON.parse(Buffer.concat(chunks).toString('utf8')) as { stream?: boolean }
  if (stream === true) return streamed(response)
  response.writeHead(200, {
    'content-type': 'application/json',
    'content-length': COMPLETION.length,
  })
  response.end(COMPLETION)
})

function streamed(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  const event = (delta: object, finish: string | null) =>
    response.write(
      `data: ${JSON.stringify({
        ...HEAD,
        object: 'chat.completion.chunk',
        choices: [{ index: 0, delta, finish_reason: finish }],
      })}\n\n`,
    )
  event({ role: 'assistant', content: '' }, null)
  let sent = 0
  const timer = setInterval(() => {
    sent += 1
    if (sent < EVENTS) return void event({ content: 'It looks safe. ' }, null)
    clearInterval(timer)
    event({}, 'stop')
    response.write(
      `data: ${JSON.stringify({ ...HEAD, object: 'chat.completion.chunk', choices: [], usage: USAGE })}\n\n`,
    )
    response.end('data: [DONE]\n\n')
  }, PAUSE_MS)
  response.once('close', () => clearInterval(timer))
}

server.keepAliveTimeout = 60_000
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`ready ${(server.address() as AddressInfo).port}\n`)
})
