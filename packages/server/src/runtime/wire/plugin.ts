/**
 * The runtime API on the common HTTP port. Requests leave the framework before it looks at path or body: which route
 * it is, what a body may hold and how an error looks is decided here alone.
 */
import type { FastifyInstance } from 'fastify'
import { handle, type Wire } from './handler.ts'

/** For every path below the prefix it is registered under, known or not. */
export function runtimeRoutes(app: FastifyInstance, wire: Wire): void {
  app.addHook('onRequest', (request, reply, done) => {
    reply.hijack()
    void handle(wire, request.raw, reply.raw)
    done()
  })
  // Never reached; it gives the hook its paths.
  app.all('/*', async () => undefined)
  app.setNotFoundHandler(async () => undefined)
}
