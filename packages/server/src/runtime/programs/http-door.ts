/** Requests of programs, in the form of the one that all parts send. */
import { isUtf8 } from 'node:buffer'
import { VestryError } from '@vestry/contract/errors'
import { SecretRef } from '../../dsl/host.ts'
import type { HttpReply, HttpRequest, SecretHeader } from '../effects/http.ts'
import type { HttpDoor } from './program-doors.ts'
import { referenceOf } from './secret-door.ts'

const MAX_RESPONSE_BYTES = 1_048_576

export function httpDoor(send: (request: HttpRequest) => Promise<HttpReply>): HttpDoor {
  return {
    send: async ({ agent, headers, body, ...asked }) => {
      const plain: (readonly [string, string])[] = []
      const secrets: SecretHeader[] = []
      for (const [name, value] of Object.entries(headers)) {
        if (!(value instanceof SecretRef)) plain.push([name, value])
        else
          secrets.push({
            name,
            // A secret is not joined to text, and this is what is meant.
            prefix: name === 'authorization' ? 'Bearer ' : '',
            reference: referenceOf(value.name),
            owner: agent.name,
          })
      }
      if (secrets.length > 1)
        throw new VestryError('INVALID_PARAMS', 'One header of a request may carry a secret')
      const reply = await send({
        ...asked,
        headers: plain,
        ...(body !== undefined && { body: Buffer.from(body, 'utf8') }),
        ...(secrets[0] !== undefined && { secretHeader: secrets[0] }),
        maxResponseBytes: MAX_RESPONSE_BYTES,
        followRedirects: true,
      })
      return {
        status: reply.status,
        headers: reply.headers,
        ...bodyMembers(reply.body),
      }
    },
  }
}

/** Text as it is; what is none comes in base64 and says so, as it does to steps of workflows. */
function bodyMembers(bytes: Uint8Array): { body: string; body_encoding?: 'base64' } {
  const content = Buffer.from(bytes)
  if (isUtf8(content)) return { body: content.toString('utf8') }
  return { body: content.toString('base64'), body_encoding: 'base64' }
}
