/** The signing keys of this server for whoever verifies its tools, at the root of the common port. */
import { asVestryError } from '@vestry/contract/errors'
import { newRequestId } from '@vestry/contract/ids'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { problemOf } from './problem.ts'

export interface WellKnown {
  /** Of the domain that was asked by its `Host`. @throws VestryError SIGNING_KEY_NOT_FOUND, VAULT_LOCKED */
  discovery(host: string | undefined): Promise<Readonly<Record<string, unknown>>>
  revocations(host: string | undefined): Promise<Readonly<Record<string, unknown>>>
}

/** Revocations must be seen soon. */
const MAX_AGE_SECONDS = 300

export function wellKnownRoutes(app: FastifyInstance, documents: WellKnown): void {
  const answer =
    (read: WellKnown['discovery']) => async (request: FastifyRequest, reply: FastifyReply) => {
      const id = newRequestId()
      reply.header('x-request-id', id).header('x-content-type-options', 'nosniff')
      try {
        const document = await read(request.headers.host)
        return await reply
          .header('cache-control', `public, max-age=${MAX_AGE_SECONDS}`)
          .send(document)
      } catch (error) {
        const { status, headers, body } = problemOf(asVestryError(error), id)
        return reply.status(status).headers(headers).header('cache-control', 'no-store').send(body)
      }
    }
  app.get('/.well-known/schemapin.json', answer(documents.discovery))
  app.get('/.well-known/schemapin-revocations.json', answer(documents.revocations))
}
