/** What a reply looks like to the one who asked: read within bounds, decompressed, scrubbed, only then cut to size. */
import { isUtf8 } from 'node:buffer'
import { VestryError } from '@vestry/contract/errors'
import type { Exchange } from './exchange.ts'
import type { Hop } from './redirect.ts'
import { type Coding, codingOf, type ReplyBody, readReply } from './reply-body.ts'
import { responseHeaders } from './response-headers.ts'
import type { Scrubber } from './scrub.ts'
import type { EgressRequest, EgressResult } from './send.ts'
import type { Target } from './url.ts'

export type Rendered = Omit<EgressResult, 'redirects' | 'elapsedMs' | 'bytesOut'>

/** Scrubbing may shorten a reply; reading a little more than asked for fills it up again. */
const READ_AHEAD = 64 * 1024
const MAX_RECEIVED = 4 * 1024 * 1024

/** The order is the point: read, decompress, scrub, and only then truncate. */
export async function renderReply(
  request: EgressRequest,
  reply: Exchange,
  hop: Hop,
  scrubber: Scrubber,
): Promise<Rendered> {
  const { maxResponseBytes, maxReceivedBytes = MAX_RECEIVED } = request
  const coding = codingFor(reply, hop.method)
  const read = await readReply(reply.body, coding, {
    wanted: maxResponseBytes + (request.onOverflow === 'refuse' ? 0 : READ_AHEAD),
    maxReceived: maxReceivedBytes,
  })
  const scrubbed = scrubber.body(read.bytes, read.complete)
  if (request.onOverflow === 'refuse') assertFits(read, scrubbed, maxResponseBytes)
  const body = truncate(scrubbed, maxResponseBytes)
  const { headers, dropped } = responseHeaders(
    reply.headers,
    scrubber,
    request.responseHeadersAllow ?? [],
  )
  const altered = read.decoded || body.length !== read.bytes.length
  if (read.decoded) delete headers['content-encoding']
  // It no longer fits the body, and the difference would tell how long the secret is.
  if (altered) delete headers['content-length']
  const { target } = hop
  const url = scrubber.text(target.href, 'url')
  const { redactions } = scrubber
  const result: Rendered = {
    status: reply.status,
    headers,
    headersDropped: dropped,
    body,
    truncated: !read.complete || body.length < scrubbed.length,
    url,
    bytesIn: read.received,
    target: shownTarget(target, scrubber),
    redactions,
  }
  if (request.onReflection === 'block' && redactions.count > 0) {
    throw new VestryError('UPSTREAM_ERROR', 'The reply held the credential and was withheld', {
      hint: 'The rule says on_reflection: block.',
      context: { redactions: redactions.count, places: redactions.places },
    })
  }
  return result
}

/** The hop as the audit may keep it. */
export function shownTarget(target: Target, scrubber: Scrubber): EgressResult['target'] {
  return {
    scheme: target.scheme,
    host: scrubber.text(target.host, 'url'),
    port: target.port,
    path: scrubber.text(target.path, 'url'),
    queryNames: target.queryNames.map((name) => scrubber.text(name, 'url')),
  }
}

function assertFits({ complete }: ReplyBody, scrubbed: Uint8Array, maxBytes: number): void {
  if (complete && scrubbed.length <= maxBytes) return
  throw new VestryError('RESPONSE_TOO_LARGE', `The reply exceeds ${maxBytes} bytes`, {
    context: { max_bytes: maxBytes },
  })
}

/**
 * Replies without a body may name any coding.
 *
 * @throws VestryError `UPSTREAM_ERROR` for one that is not known; the reply's body is destroyed then.
 */
export function codingFor({ status, headers, body }: Exchange, method: string): Coding {
  if (method === 'HEAD' || status === 204 || status === 304) return 'identity'
  const values = headers.filter(([name]) => name.toLowerCase() === 'content-encoding')
  try {
    return codingOf(values.map(([, value]) => value).join(','))
  } catch (error) {
    body.destroy()
    throw error
  }
}

/** Cuts text between characters, so that it stays text. */
function truncate(bytes: Uint8Array, max: number): Uint8Array {
  if (bytes.length <= max) return bytes
  const cut = bytes.subarray(0, max)
  for (let less = 0; less < 4; less += 1) {
    const shorter = cut.subarray(0, max - less)
    if (isUtf8(shorter)) return shorter
  }
  return cut
}
