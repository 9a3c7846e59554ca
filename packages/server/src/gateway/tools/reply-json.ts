/** Reads what a provider answered. An answer that cannot be read is a failure of the provider. */
import { NotPlain, plainJson } from './plain-json.ts'
import { type Json, providerFailure, ToolFailure, type UpstreamReply } from './tool.ts'

/** Deeper documents are left unread: what filters replies recurses. */
const LIMITS = { depth: 200, values: 1_000_000, items: 1_000_000, unsafe: 'drop' } as const

/** @throws ToolFailure for an error, a redirect and a body that is not JSON. */
export function providerJson(reply: UpstreamReply): Json {
  assertSuccess(reply)
  const json = parsedJson(Buffer.from(reply.body).toString('utf8'))
  if (json === undefined) throw new ToolFailure('failed', reply.status)
  return json
}

/** @throws ToolFailure */
export function assertSuccess(reply: UpstreamReply): void {
  const failure = providerFailure(reply)
  if (failure !== undefined) throw failure
  // Redirects of providers are not followed: the credential is for one place only.
  if (reply.status < 200 || reply.status >= 300) throw new ToolFailure('rejected', reply.status)
}

/** @returns undefined for text that is not JSON, or nests too deep. */
export function parsedJson(text: string): Json | undefined {
  try {
    return plainJson(JSON.parse(text), LIMITS)
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof NotPlain) return undefined
    throw error
  }
}
