/** Replies longer than a frame: sent as parts of their JSON text, and put together by who asked. */

/** Characters; well below the limit of a frame, however they are escaped. */
const PART_CHARS = 600_000
/** Of a whole reply. */
const MAX_CHARS = 64_000_000

type Reply = Record<string, unknown>

/** @returns The reply itself where it is short enough, else the last part of it, after the others were emitted. */
export async function inParts(reply: Reply, emit: (part: Reply) => Promise<void>): Promise<Reply> {
  const json = JSON.stringify(reply)
  if (json.length <= PART_CHARS) return reply
  const parts = Math.ceil(json.length / PART_CHARS)
  for (let part = 0; part < parts - 1; part += 1)
    await emit({ part: json.slice(part * PART_CHARS, (part + 1) * PART_CHARS) })
  return { part: json.slice((parts - 1) * PART_CHARS) }
}

/** The other side of it. */
export class LongReply {
  #text = ''

  add(frame: Reply): void {
    const { part } = frame
    if (typeof part !== 'string') return
    if (this.#text.length + part.length > MAX_CHARS) throw new RangeError('the reply is too long')
    this.#text += part
  }

  /** @param last What the call returned. */
  whole(last: Reply): Reply {
    if (typeof last['part'] !== 'string') return last
    this.add(last)
    return JSON.parse(this.#text) as Reply // of our own daemon
  }
}
