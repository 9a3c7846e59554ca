/**
 * One request to the receiver, through the guarded way out. The operator named the receiver, so it may be on a
 * private address; this daemon's own listeners and the metadata services of clouds stay out of reach.
 */
import { VestryError } from '@vestry/contract/errors'
import type { AddressRules } from '../../egress/addresses.ts'
import type { EgressDeps } from '../../egress/send.ts'
import { type EgressStream, openStream } from '../../egress/stream.ts'
import type { CredentialStore } from '../../vault/credential-store.ts'
import type { Post } from './delivery.ts'
import { isHeaderText, VAULT } from './targets.ts'

export interface PostDeps {
  /** Without anything that records what is looked up: the export would export itself. */
  readonly egress: EgressDeps
  readonly credentials: Pick<CredentialStore, 'open'>
}

/** Answers are a few numbers. */
const MAX_REPLY_BYTES = 65_536
/** For the rest of an answer whose head is there: whether the request was taken is known by then. */
const REST_MS = 2_000
/** Shorter ones occur by chance. */
const MIN_SECRET = 8

export function httpPost({ egress, credentials }: PostDeps): Post {
  const deps: EgressDeps = { ...egress, rules: reachingPrivate(egress.rules) }
  return async ({ url, contentType, headers: given, body, timeoutMs, signal }) => {
    // Opened for each request, so that a new version is used at once and none is kept.
    const { headers, secrets } = await filledIn(given, credentials)
    const totalMs = Math.max(1, Math.ceil(timeoutMs))
    using reply = await openStream(
      {
        url,
        headers: [['content-type', contentType], ...headers],
        body,
        poolKey: { path: 'telemetry:otlp', version: 0 },
        authorize: () => ({ exactHost: true, allowHttp: true, followRedirects: false }),
        firstByteMs: totalMs,
        idleMs: REST_MS,
        totalMs,
        maxBytes: MAX_REPLY_BYTES,
        signal,
      },
      deps,
    )
    const said = withoutSecrets(await bodyOf(reply), secrets)
    return { status: reply.status, retryAfter: reply.headers['retry-after'], body: said }
  }
}

/**
 * As far as it comes, and in its time. A receiver that has said that it took the request must not get it again because
 * it cannot end its sentence.
 */
async function bodyOf(reply: EgressStream): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  const late = setTimeout(() => reply.close(), REST_MS)
  try {
    for await (const chunk of reply.body) chunks.push(chunk)
  } catch {
    // Too long, not readable, or broken off.
  } finally {
    clearTimeout(late)
  }
  return Buffer.concat(chunks)
}

/** Blocks that hold every address: what is refused beyond them stays refused. */
function reachingPrivate(rules: AddressRules): AddressRules {
  const every = [4, 16].map((length) => ({ bytes: new Uint8Array(length), bits: 0 }))
  return { ...rules, holes: every }
}

/** @throws VestryError VAULT_LOCKED, CREDENTIAL_NOT_FOUND; CONFIG_INVALID for a value no header can have. */
async function filledIn(
  headers: Readonly<Record<string, string>>,
  credentials: PostDeps['credentials'],
): Promise<{ headers: [string, string][]; secrets: string[] }> {
  const filled: [string, string][] = []
  const secrets: string[] = []
  for (const [name, value] of Object.entries(headers)) {
    const text = value.startsWith(VAULT)
      ? await secretText(credentials, value.slice(VAULT.length))
      : value
    if (!isHeaderText(text)) {
      throw new VestryError('CONFIG_INVALID', `the value of header "${name}" cannot be sent`, {
        hint: 'It must be one line of ASCII text',
      })
    }
    filled.push([name, text])
    secrets.push(text, ...text.split(/\s+/))
  }
  return { headers: filled, secrets: secrets.filter(({ length }) => length >= MIN_SECRET) }
}

/** A header is text, so this copy of the value lives for as long as its request. */
async function secretText(credentials: PostDeps['credentials'], path: string): Promise<string> {
  const opened = await credentials.open(path)
  using secret = opened.secret
  const { buffer, byteOffset, length } = secret.bytes
  const text = Buffer.from(buffer, byteOffset, length).toString('utf8')
  return text.replace(/\r?\n$/, '')
}

/** A receiver that repeats what it was sent must not get it into our log. */
function withoutSecrets(body: Buffer, secrets: readonly string[]): Buffer {
  for (const secret of secrets) {
    for (let at = body.indexOf(secret); at !== -1; at = body.indexOf(secret, at + 1))
      body.fill('*', at, at + Buffer.byteLength(secret))
  }
  return body
}
