/** Model calls that are answered in one piece, each call once: whoever asks again with its key gets the same answer. */
import { VestryError } from '@vestry/contract/errors'
import type { ChatRequest, EmbeddingsRequest } from '@vestry/sdk/llm/providers'
import type { Llm } from '../llm.ts'
import type { Running } from './carry-out.ts'
import type { ModelCall } from './model-call.ts'
import { protect, protectReplay } from './protected.ts'
import type { NativeBody, Prepared } from './request.ts'

export interface Answer {
  /** JSON. */
  readonly body: Uint8Array
}

export type NativeHeaders = readonly (readonly [name: string, value: string])[]

export function answerChat(
  llm: Llm,
  { call, request }: Prepared<ChatRequest>,
  signal: AbortSignal,
): Promise<Answer> {
  return once(llm, call, signal, async ({ backend, work, meter }) => {
    const completion = await backend.chat(request, work)
    const [choice] = completion.choices
    if (!meter.counted(completion.usage)) meter.answered(jsonBytes(choice?.message ?? '').length)
    meter.finishReason = choice?.finish_reason
    return answer(completion, work)
  })
}

export function answerEmbeddings(
  llm: Llm,
  { call, request }: Prepared<EmbeddingsRequest>,
  signal: AbortSignal,
): Promise<Answer> {
  return once(llm, call, signal, async ({ backend, work, meter }) => {
    const { vectors, promptTokens, estimated } = await backend.embed(request, work)
    const usage = { prompt_tokens: promptTokens, total_tokens: promptTokens }
    meter.counted({ ...usage, completion_tokens: 0 }, { estimated })
    const data = vectors.map((embedding, index) => ({ object: 'embedding', index, embedding }))
    return answer({ object: 'list', model: request.model, data, usage }, work)
  })
}

export function answerNative(
  llm: Llm,
  { call, request }: Prepared<NativeBody>,
  headers: NativeHeaders,
  signal: AbortSignal,
): Promise<Answer> {
  return once(llm, call, signal, async ({ backend, work, meter }) => {
    const { path, bytes } = request
    const { body, usage, finishReason } = await backend.message(
      { path, body: bytes, headers },
      work,
    )
    meter.answered(body.length)
    if (call.estimate === undefined) meter.free()
    else meter.counted(usage)
    meter.finishReason = finishReason
    work.note({ bytes_out: body.length })
    return { body }
  })
}

function answer(value: unknown, { note }: Running['work']): Answer {
  const body = jsonBytes(value)
  note({ bytes_out: body.length })
  return { body }
}

/** @throws VestryError PROVIDER_ERROR for what is nested too deep, or too long for a text. */
function jsonBytes(value: unknown): Uint8Array {
  try {
    return Buffer.from(JSON.stringify(value))
  } catch (cause) {
    throw new VestryError('PROVIDER_ERROR', undefined, { cause })
  }
}

async function once(
  llm: Llm,
  call: ModelCall,
  signal: AbortSignal,
  effect: (running: Running) => Promise<Answer>,
): Promise<Answer> {
  const { duplicateKey: key } = call
  if (key === undefined) return protect(llm, call, signal, effect)
  const { duplicates } = llm
  if (duplicates.has(key)) {
    const again = await protectReplay(llm, call, () => duplicates.join(key, signal))
    if (again !== undefined) {
      llm.metrics.replayed()
      return again
    }
  }
  return duplicates.first(key, signal, (own) => protect(llm, call, own, effect))
}
