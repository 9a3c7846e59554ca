/** Reads the bodies of model calls: strict JSON, checked for what must not leave, and the model it asks for. */
import { hash } from 'node:crypto'
import { VestryError } from '@vestry/contract/errors'
import {
  type ChatRequest,
  checkChat,
  checkEmbeddings,
  type EmbeddingsRequest,
  modelName,
} from '@vestry/sdk/llm/providers'
import type { RunProof } from '../../identity/runs/run-gate.ts'
import { ONLY_PROTO, readStrictJson } from '../../json/strict-json.ts'
import { applyDlp } from '../dlp/scan.ts'
import { estimateMax, sizeOfChat, sizeOfNative } from '../estimate.ts'
import type { Llm } from '../llm.ts'
import { asLlmError } from '../providers/faults.ts'
import type { Arrival, ModelCall } from './model-call.ts'
import { type ModelUse, type ResolvedModel, resolveModel, runClaims } from './model-ref.ts'

export interface Received {
  readonly arrival: Arrival
  readonly proof: RunProof
  /** Header `X-Provider`. */
  readonly provider: string | undefined
  /** Header `X-Sage-Category`. */
  readonly category: string | undefined
  readonly body: Uint8Array
  /** Whatever else shapes the answer. */
  readonly variant?: string
}

export interface Prepared<R> {
  readonly call: ModelCall
  readonly request: R
}

export function readChat(llm: Llm, received: Received): Prepared<ChatRequest> {
  const { value, redacted } = readBody(llm, received)
  const asked = translated(() => checkChat(value))
  const target = targetOf(llm, received, 'chat', asked.model)
  const request = { ...asked, model: target.model }
  const size = sizeOfChat(request, received.body.length, maxTokens(llm, target))
  return {
    request,
    call: {
      ...callOf(llm, received, 'chat', target),
      action: 'llm:chat',
      event: 'llm.chat',
      stream: request.stream === true,
      size,
      estimate: estimateMax(size, target, llm.prices),
      redacted,
    },
  }
}

export function readEmbeddings(llm: Llm, received: Received): Prepared<EmbeddingsRequest> {
  const { value, redacted } = readBody(llm, received)
  const asked = translated(() => checkEmbeddings(value))
  const target = targetOf(llm, received, 'embeddings', asked.model)
  const size = { textBytes: received.body.length, mediaTokens: 0, maxOutputTokens: 0 }
  return {
    request: { ...asked, model: target.model },
    call: {
      ...callOf(llm, received, 'embeddings', target),
      action: 'llm:embed',
      event: 'llm.embed',
      stream: false,
      size,
      estimate: estimateMax(size, target, llm.prices),
      redacted,
    },
  }
}

export interface NativeBody {
  /** As received, unless something was taken out. */
  readonly bytes: Uint8Array
  readonly path: '/v1/messages' | '/v1/messages/count_tokens'
}

/** Native messages are not translated: of their body only the model, the limit and the way to answer are read. */
export function readNative(
  llm: Llm,
  received: Received,
  path: NativeBody['path'],
): Prepared<NativeBody> {
  const { value, redacted } = readBody(llm, received)
  assertSpelling(value)
  const { stream } = value
  const model = translated(() => modelName(value['model'], 'model'))
  const limit = nativeLimit(value['max_tokens'])
  const target = targetOf(llm, received, 'messages', model)
  // The provider reads the body itself, so it must read the very model that was decided on.
  const renamed = target.model !== model
  const bytes =
    redacted.length > 0 || renamed
      ? Buffer.from(JSON.stringify({ ...value, model: target.model }))
      : received.body
  const counts = path === '/v1/messages/count_tokens'
  const size = sizeOfNative(value, received.body.length, limit ?? maxTokens(llm, target))
  return {
    request: { bytes, path },
    call: {
      ...callOf(llm, received, 'messages', target),
      action: 'llm:chat',
      event: counts ? 'llm.count_tokens' : 'llm.message',
      stream: stream === true && !counts,
      size,
      estimate: counts ? undefined : estimateMax(size, target, llm.prices),
      redacted,
    },
  }
}

/** What decides here must be what decides there: some servers read members in any spelling, and take the last. */
const DECISIVE = ['model', 'max_tokens', 'stream']

function assertSpelling(value: Readonly<Record<string, unknown>>): void {
  for (const name of Object.keys(value)) {
    const folded = name.toUpperCase().toLowerCase()
    if (name !== folded && DECISIVE.includes(folded))
      throw invalidMember(folded, 'is spelled in another way')
  }
}

/** Absent: the provider has the word. */
function nativeLimit(value: unknown): number | undefined {
  if (value === undefined) return undefined
  if (Number.isSafeInteger(value) && Number(value) >= 0) return Number(value)
  throw invalidMember('max_tokens', 'expected a whole number')
}

interface ReadBody {
  readonly value: Readonly<Record<string, unknown>>
  readonly redacted: readonly string[]
}

/** @throws VestryError INVALID_JSON, DLP_BLOCKED */
function readBody({ settings }: Llm, { body }: Received): ReadBody {
  const { value, found } = applyDlp(parsed(body), settings.dlp)
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new VestryError('INVALID_JSON', 'The body is not a JSON object')
  return { value: value as Record<string, unknown>, redacted: found }
}

function parsed(body: Uint8Array): unknown {
  try {
    return readStrictJson(body, ONLY_PROTO)
  } catch (error) {
    if (!(error instanceof VestryError) || error.code !== 'BAD_REQUEST') throw error
    throw new VestryError('INVALID_JSON', error.message)
  }
}

function targetOf(
  { providers }: Llm,
  { provider, category }: Received,
  use: ModelUse,
  model: string,
): ResolvedModel {
  const isKnown = (name: string) => providers.find(name) !== undefined
  return resolveModel({ use, provider, category, model }, isKnown)
}

function callOf(
  { settings }: Llm,
  received: Received,
  use: ModelUse,
  target: ResolvedModel,
): Pick<
  ModelCall,
  'arrival' | 'proof' | 'target' | 'claims' | 'native' | 'bodyBytes' | 'content' | 'duplicateKey'
> {
  const { arrival, proof, body, category } = received
  return {
    arrival,
    proof,
    target,
    claims: runClaims(proof, { use, category }, settings.required_scope),
    native: use === 'messages',
    bodyBytes: body.length,
    content: () => contentOf(body),
    duplicateKey: duplicateKey(received, target),
  }
}

/** Equal only for the same call of the same run: a key with another body is another call. */
function duplicateKey(
  { arrival, proof, category = '', body, variant = '' }: Received,
  { ref }: ResolvedModel,
): string | undefined {
  const { idempotencyKey, route } = arrival
  if (idempotencyKey === undefined) return undefined
  const parts = [proof.run.id, route, ref, category, variant, idempotencyKey, contentOf(body)]
  return hash('sha256', JSON.stringify(parts), 'base64url')
}

function contentOf(body: Uint8Array): string {
  return hash('sha256', body, 'base64url')
}

function maxTokens({ settings }: Llm, { ref }: ResolvedModel): number {
  return settings.model_max_tokens[ref] ?? settings.default_max_tokens
}

/** The words of the translation's own checks, in our errors. */
function translated<T>(check: () => T): T {
  try {
    return check()
  } catch (error) {
    throw asLlmError(error)
  }
}

function invalidMember(param: string, problem: string): VestryError {
  return new VestryError('BAD_REQUEST', `${param}: ${problem}`, { context: { param } })
}
