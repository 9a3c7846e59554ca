/**
 * Passes a native Anthropic stream on, and reads usage and end on the side. Only whole events pass, so that whoever
 * has to tell a failure can do so as the next one; the provider's own error event is told like every other failure.
 */
import {
  type AnthropicUsageReader,
  ProviderFault,
  readAnthropicStreamError,
  SseParser,
} from '@vestry/sdk/llm/providers'

/** At the start of a line: within an event's data no line ends. */
const ERROR = '\nevent: error'

/** @throws ProviderFault for an error event; marked `truncated` when the stream ends without its last event. */
export async function* watchNative(
  provider: string,
  body: AsyncIterable<Uint8Array>,
  reader: AnthropicUsageReader,
): AsyncGenerator<Uint8Array> {
  const parser = new SseParser() // bounds what is held, too
  let held = Buffer.alloc(0)
  for await (const bytes of body) {
    const failed = parser.push(bytes).find((event) => {
      reader.push(event)
      return event.event === 'error'
    })
    const all = Buffer.concat([held, bytes])
    const end = failed === undefined ? endOfEvents(all) : all.lastIndexOf(ERROR) + 1
    held = all.subarray(end)
    if (end > 0) yield all.subarray(0, end)
    if (failed !== undefined) throw readAnthropicStreamError(provider, errorIn(failed.data))
  }
  if (!reader.done)
    throw new ProviderFault(
      'provider_error',
      'The provider ended the stream before it was complete',
      { truncated: true },
    )
  if (held.length > 0) yield held
}

/** Behind the last blank line, whatever ends lines here. */
function endOfEvents(bytes: Buffer): number {
  const ends = ['\n\n', '\n\r\n', '\r\r'].map((blank) => {
    const at = bytes.lastIndexOf(blank)
    return at < 0 ? 0 : at + blank.length
  })
  return Math.max(...ends)
}

function errorIn(data: string): unknown {
  try {
    return Reflect.get(Object(JSON.parse(data)), 'error')
  } catch {
    return undefined
  }
}
