/**
 * This wire on a Fastify server. Its framing is counted in bytes (wire contract §4.3), so its requests leave the
 * framework before a body is read, and nothing but this wire writes the answer.
 */
import type { FastifyInstance } from 'fastify'
import { keepOwnTime } from '../../http/own-time.ts'
import type { Llm } from '../llm.ts'
import { handle, type Listening } from './handler.ts'

/** For every path below the prefix it is registered under, known or not. */
export function llmRoutes(app: FastifyInstance, llm: Llm, listening: Listening): void {
  app.addHook('onRequest', (request, reply, done) => {
    reply.hijack()
    void handle(llm, request.raw, reply.raw, listening)
    done()
  })
  // Never reached; it gives the hook its paths.
  app.all('/*', async () => undefined)
  app.setNotFoundHandler(async () => undefined)
}

/** On the port that all wires share: each request here has a connection of its own, which ends with it. */
export function llmHttpRoutes(app: FastifyInstance, llm: Llm): void {
  let open = 0
  app.addHook('onRequest', (request, reply, done) => {
    keepOwnTime(request.raw.socket)
    open += 1
    reply.raw.once('close', () => {
      open -= 1
    })
    done()
  })
  const { connections } = llm.settings
  llmRoutes(app, llm, { listener: 'http', roomFor: () => open <= connections })
}
