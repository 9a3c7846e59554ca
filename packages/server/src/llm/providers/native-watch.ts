/** Passes the bytes of a native Anthropic stream on unchanged, and reads usage and end on the side. */
import { type AnthropicUsageReader, ProviderFault, SseParser } from '@vestry/sdk/llm/providers'

/** @throws ProviderFault marked `truncated` when the stream ends without its last event. */
export async function* watchNative(
  body: AsyncIterable<Uint8Array>,
  reader: AnthropicUsageReader,
): AsyncGenerator<Uint8Array> {
  const parser = new SseParser()
  // After an error event nothing is left to come: the client has been told.
  let failed = false
  for await (const bytes of body) {
    for (const event of parser.push(bytes)) {
      reader.push(event)
      if (event.event === 'error') failed = true
    }
    yield bytes
  }
  if (reader.done || failed) return
  throw new ProviderFault(
    'provider_error',
    'The provider ended the stream before it was complete',
    {
      truncated: true,
    },
  )
}
