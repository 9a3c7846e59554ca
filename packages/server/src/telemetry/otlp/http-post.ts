/**
 * One request to the receiver, through the guarded way out. The operator named the receiver, so it may be on a
 * private address; this daemon's own listeners and the metadata services of clouds stay out of reach.
 */
import { VestryError } from '@vestry/contract/errors'
import type { AddressRules } from '../../egress/addresses.ts'
import { type EgressDeps, send } from '../../egress/send.ts'
import type { CredentialStore } from '../../vault/credential-store.ts'
import type { HttpReply, Post } from './delivery.ts'
import type { ExportPlan } from './targets.ts'

export interface PostDeps {
  readonly plan: ExportPlan
  /** Without anything that records what is looked up: the export would export itself. */
  readonly egress: EgressDeps
  readonly credentials: Pick<CredentialStore, 'open'>
}

/** Answers are a few numbers. */
const MAX_REPLY_BYTES = 65_536
const VAULT = 'vault:'
/** Shorter ones occur by chance. */
const MIN_SECRET = 8

export function httpPost({ plan, egress, credentials }: PostDeps): Post {
  const deps: EgressDeps = { ...egress, rules: reachingPrivate(egress.rules) }
  return async ({ url, contentType, body, timeoutMs, signal }) => {
    const target = plan.logs?.url === url ? plan.logs : plan.spans
    // Opened for each request, so that a new version is used at once and none is kept.
    const { headers, secrets } = await filledIn(target?.headers ?? {}, credentials)
    const reply = await send(
      {
        url,
        method: 'POST',
        headers: [['content-type', contentType], ...headers],
        body,
        followRedirects: false,
        poolKey: { path: 'telemetry:otlp', version: 0 },
        authorize: () => ({ exactHost: true, allowHttp: true, followRedirects: false }),
        timeoutMs: Math.max(1, Math.ceil(timeoutMs)),
        maxResponseBytes: MAX_REPLY_BYTES,
        signal,
      },
      deps,
    )
    return replyOf(reply.status, reply.headers['retry-after'], reply.body, secrets)
  }
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
    if (!/^[\t\x20-\x7e]*$/.test(text)) {
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
function replyOf(
  status: number,
  retryAfter: string | undefined,
  body: Uint8Array,
  secrets: readonly string[],
): HttpReply {
  const clean = Buffer.from(body)
  for (const secret of secrets) {
    for (let at = clean.indexOf(secret); at !== -1; at = clean.indexOf(secret, at + 1))
      clean.fill('*', at, at + Buffer.byteLength(secret))
  }
  return { status, retryAfter, body: clean }
}
