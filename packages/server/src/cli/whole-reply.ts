/** Verbs whose replies may be longer than a frame. */
import { LongReply } from '../telemetry/correlation/long-reply.ts'
import type { AdminClient } from './admin-client.ts'
import type { Row } from './cell.ts'
import type { CommandIo } from './command-io.ts'

export function askWhole(io: CommandIo, verb: string, params: Row): Promise<Row> {
  return io.admin((admin) => askWholeOn(admin, io.signal, verb, params), 'reading the record')
}

/** The same on a connection that stays open. */
export async function askWholeOn(
  admin: AdminClient,
  signal: AbortSignal,
  verb: string,
  params: Row,
): Promise<Row> {
  const reply = new LongReply()
  const last = await admin.call(`admin.${verb}`, params, {
    signal,
    onMore: (frame) => reply.add(frame),
  })
  return reply.whole(last)
}
