/** The body of an answer: read whole, or handed on as it arrives. */

import { GatewayError } from '../errors.ts'
import { AttemptFailed, type Exchange } from './exchange.ts'
import { type GatewayResponse, type GatewayStream, gatewayResponse } from './response.ts'

/** An error whose end only the end of the connection would show is waited for this long. */
const ERROR_BODY_GRACE_MS = 500

/** @throws AttemptFailed; the signal's own reason. */
export async function wholeBody(exchanged: Exchange): Promise<GatewayResponse> {
  const { status, headers } = exchanged.head
  const parts: Uint8Array[] = []
  const isOpenEnded = exchanged.endsWithConnection && status >= 400
  const timer = isOpenEnded ? setTimeout(() => exchanged.close(), ERROR_BODY_GRACE_MS) : undefined
  try {
    for await (const part of exchanged.parts()) parts.push(part)
  } catch (error) {
    // The status is known: a body that breaks off must not hide it.
    if (!isOpenEnded || !(error instanceof AttemptFailed)) throw error
  } finally {
    clearTimeout(timer)
  }
  return gatewayResponse(status, headers, Buffer.concat(parts))
}

/**
 * Waits for the first part, so that until then another attempt is possible.
 *
 * @param release Called once, when the stream has ended in any way.
 * @throws AttemptFailed; the signal's own reason.
 */
export async function streamedBody(
  exchanged: Exchange,
  release: () => void,
): Promise<GatewayStream> {
  const { status, headers } = exchanged.head
  const parts = exchanged.parts()
  const first = await parts.next()
  if (first.done === true) {
    const error = new GatewayError('The stream ended before its first byte', {
      truncated: true,
      retryable: true,
    })
    throw new AttemptFailed(error, true)
  }
  const body = rest(first.value, parts, release)
  return {
    status,
    headers,
    [Symbol.asyncIterator]: () => body,
    close() {
      exchanged.close()
      release()
    },
  }
}

async function* rest(
  first: Uint8Array,
  parts: AsyncGenerator<Uint8Array, void, undefined>,
  release: () => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield first
    yield* parts
  } catch (error) {
    if (!(error instanceof AttemptFailed)) throw error
    const { message, cause, retryable } = error.error
    throw new GatewayError(message, { cause, retryable, truncated: true })
  } finally {
    await parts.return(undefined)
    release()
  }
}
