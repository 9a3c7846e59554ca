/** Replies longer than a frame: sent as parts of their JSON text, and put together by who asked. */
import { VestryError } from '@vestry/contract/errors'

/** Characters; well below the limit of a frame, however they are escaped. */
const PART_CHARS = 600_000
/** Of a whole reply. */
const MAX_CHARS = 128_000_000

type Reply = Record<string, unknown>

/**
 * @returns The reply itself where it is short enough, else the last part of it, after the others were emitted.
 * @throws VestryError RESPONSE_TOO_LARGE
 */
export async function inParts(reply: Reply, emit: (part: Reply) => Promise<void>): Promise<Reply> {
  const json = jsonOf(reply)
  if (json === undefined || json.length > MAX_CHARS) {
    throw new VestryError('RESPONSE_TOO_LARGE', 'this is more than one answer can hold', {
      hint: 'Ask for less of it, with --since, --until, --trace or a lower --limit',
    })
  }
  if (json.length <= PART_CHARS) return reply
  const parts = Math.ceil(json.length / PART_CHARS)
  for (let part = 0; part < parts - 1; part += 1)
    await emit({ part: json.slice(part * PART_CHARS, (part + 1) * PART_CHARS) })
  return { part: json.slice((parts - 1) * PART_CHARS) }
}

/** @returns undefined for more than a text can hold. */
function jsonOf(reply: Reply): string | undefined {
  try {
    return JSON.stringify(reply)
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
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
