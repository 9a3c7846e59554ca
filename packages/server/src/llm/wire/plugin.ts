/**
 * This wire on a Fastify server. Its framing is counted in bytes (wire contract §4.3), so its requests leave the
 * framework before a body is read, and nothing but this wire writes the answer.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { FastifyInstance } from 'fastify'
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

/** Clients of this wire would take an interim answer for the final one; on a shared port the others still get theirs. */
export function withholdContinue({ server }: FastifyInstance, prefix: string): void {
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    if (request.url?.startsWith(prefix) !== true) response.writeContinue()
    server.emit('request', request, response)
  })
}
