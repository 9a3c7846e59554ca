/** What an agent sees of a fetched page (wire contract §11.3): few headers, text as text, the rest as base64. */
import { TextDecoder } from 'node:util'
import { reasonPhrase } from './reason-phrase.ts'
import { parsedJson } from './reply-json.ts'
import { type JsonObject, ToolFailure, type UpstreamReply } from './tool.ts'

/** Never `set-cookie`. */
const SHOWN = [
  'content-type',
  'content-length',
  'content-language',
  'etag',
  'last-modified',
  'cache-control',
  'retry-after',
]

const TEXT_TYPE =
  /^(?:text\/.*|application\/(?:.*\+)?(?:json|xml)|application\/(?:(?:x-)?javascript|ecmascript|x-www-form-urlencoded|x-ndjson|jsonl|yaml|x-yaml|toml|graphql|sql)|image\/svg\+xml)$/
const JSON_TYPE = /^application\/(?:.*\+)?json$/

/**
 * A target's own 401, 404 or 429 is a page like any other; only 5xx means that the fetch failed.
 *
 * @throws ToolFailure
 */
export function fetchedPage(reply: UpstreamReply): JsonObject {
  const { type, charset } = mediaType(reply.headers['content-type'])
  const text = asText(reply.body, type, charset)
  if (text === undefined) {
    const data = Buffer.from(reply.body).toString('base64')
    return { ...fetchedHead(reply), data, body: data, bytes: reply.body.length, encoding: 'base64' }
  }
  const json = JSON_TYPE.test(type ?? '') ? parsedJson(text) : undefined
  return {
    ...fetchedHead(reply),
    data: text,
    body: text,
    bytes: reply.body.length,
    ...(json !== undefined && { json }),
  }
}

/** `bytes` is what a GET would bring, as far as the target says. @throws ToolFailure */
export function fetchedHead({ status, headers, url }: UpstreamReply): JsonObject {
  if (status >= 500) throw new ToolFailure('failed', status)
  const shown: JsonObject = {}
  for (const name of SHOWN) {
    const value = headers[name]
    if (value !== undefined) shown[name] = value
  }
  const length = headers['content-length']
  return {
    url,
    status,
    statusText: reasonPhrase(status),
    headers: shown,
    bytes: length !== undefined && /^\d{1,15}$/.test(length) ? Number(length) : 0,
  }
}

function asText(
  body: Uint8Array,
  type: string | undefined,
  charset: string | undefined,
): string | undefined {
  if (type === undefined) return untyped(body)
  if (!TEXT_TYPE.test(type)) return undefined
  return decoder(charset).decode(body)
}

/** Without a type the bytes themselves must look like text. */
function untyped(body: Uint8Array): string | undefined {
  if (body.includes(0)) return undefined
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(body)
  } catch {
    return undefined
  }
}

function decoder(charset: string | undefined): TextDecoder {
  try {
    return new TextDecoder(charset ?? 'utf-8')
  } catch {
    // A name nobody knows: most likely it is UTF-8 after all.
    return new TextDecoder('utf-8')
  }
}

function mediaType(header: string | undefined): { type?: string; charset?: string } {
  if (header === undefined) return {}
  const [type = '', ...params] = header.split(';').map((part) => part.trim())
  if (type === '') return {}
  const charset = params.map((param) => /^charset="?([^"\s]+)"?$/i.exec(param)?.[1]).find(Boolean)
  return { type: type.toLowerCase(), ...(charset !== undefined && { charset }) }
}
