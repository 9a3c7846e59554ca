/** What the answer to `initialize` says of the session that was begun. */
import { VestryError } from '@vestry/contract/errors'
import type { EgressStream } from '../../egress/stream.ts'
import { eventsOf, mediaType, newEvents, wholeBody } from './http-exchange.ts'
import { readMessages } from './message.ts'

/** @throws VestryError for one that no header can carry. */
export function sessionOf(reply: EgressStream): string | undefined {
  const id = reply.headers['mcp-session-id']
  if (id === undefined || /^[\x21-\x7e]{1,1024}$/.test(id)) return id
  reply.close()
  throw new VestryError('MCP_PROTOCOL_ERROR', 'gave a session id that cannot be sent')
}

/** The protocol revision in the answer to a new `initialize`. */
export async function revisionIn(reply: EgressStream, id: string): Promise<unknown> {
  using _reply = reply
  const texts =
    mediaType(reply) === 'text/event-stream'
      ? eventsOf(reply, newEvents())
      : [{ data: Buffer.from(await wholeBody(reply)).toString('utf8') }]
  for await (const { data } of texts) {
    for (const { message } of readMessages(Buffer.from(data)) ?? [])
      if ('result' in message && message.id === id)
        return Reflect.get(message.result, 'protocolVersion')
  }
  return undefined
}
