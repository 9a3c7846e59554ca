/** Model calls that this process makes itself, within a run: by the same way as over the wire, without the wire. */
import { asVestryError, VestryError } from '@vestry/contract/errors'
import type { ChatCompletion } from '@vestry/sdk/llm/providers'
import type { Peer } from '../../identity/caller.ts'
import type { RunProof } from '../../identity/runs/run-gate.ts'
import type { Llm } from '../llm.ts'
import { wireError } from '../wire/error-body.ts'
import { type Answer, answerChat, answerEmbeddings } from './answered.ts'
import { type Arrival, IN_PROCESS, runData } from './model-call.ts'
import { type Received, readChat, readEmbeddings } from './request.ts'
import { recordRefusal } from './single-records.ts'

export interface OwnCall {
  readonly proof: RunProof
  readonly requestId: string
  readonly peer: Peer
  /** Of the work that asks. */
  readonly traceparent: string
  /** As the wire has it; a chat completion is not streamed. */
  readonly body: Readonly<Record<string, unknown>>
}

interface Kind {
  /** Of its records. */
  readonly event: string
  /** Reads the request; what it returns makes the call. */
  readonly prepare: (llm: Llm, received: Received) => (signal: AbortSignal) => Promise<Answer>
}

const CHAT: Kind = {
  event: 'llm.chat',
  prepare: (llm, received) => {
    const request = readChat(llm, received)
    return (signal) => answerChat(llm, request, signal)
  },
}

const EMBED: Kind = {
  event: 'llm.embed',
  prepare: (llm, received) => {
    const request = readEmbeddings(llm, received)
    return (signal) => answerEmbeddings(llm, request, signal)
  },
}

/** @throws VestryError in the codes of model calls; the signal's reason. */
export async function chatInProcess(
  llm: Llm,
  chat: OwnCall,
  signal: AbortSignal,
): Promise<ChatCompletion> {
  return (await answered(llm, CHAT, chat, signal)) as ChatCompletion // ours
}

/**
 * @returns `{object: 'list', model, data: {object, index, embedding}[], usage}`
 * @throws VestryError as {@link chatInProcess} does.
 */
export function embedInProcess(
  llm: Llm,
  embeddings: OwnCall,
  signal: AbortSignal,
): Promise<unknown> {
  return answered(llm, EMBED, embeddings, signal)
}

async function answered(
  llm: Llm,
  kind: Kind,
  chat: OwnCall,
  signal: AbortSignal,
): Promise<unknown> {
  const { proof } = chat
  if (llm.draining()) throw new VestryError('SHUTTING_DOWN')
  const body = Buffer.from(JSON.stringify(chat.body))
  if (body.length > llm.settings.body_limit_bytes) throw new VestryError('REQUEST_TOO_LARGE')
  const arrival: Arrival = {
    requestId: chat.requestId,
    route: IN_PROCESS,
    peer: chat.peer,
    startedMs: performance.now(),
    traceparent: chat.traceparent,
    clientRequestId: undefined,
    idempotencyKey: undefined,
  }
  let prepared = false
  try {
    llm.denials.assertOpen(proof.run.id)
    using _place = llm.inFlight.enter(proof.run.id)
    using _memory = holding(llm, body.length)
    using underWay = llm.calls.begin()
    const ended = AbortSignal.any([signal, underWay.controller.signal])
    const received = { arrival, proof, provider: undefined, category: undefined, body }
    const call = kind.prepare(llm, received)
    prepared = true // from here on the stations record what comes of it
    const answer = await call(ended)
    return JSON.parse(Buffer.from(answer.body).toString('utf8'))
  } catch (error) {
    if (!prepared) await refused(llm, kind.event, arrival, proof, error)
    if (wireError(error).status < 500 && !signal.aborted) llm.denials.count(proof.run.id)
    throw error
  }
}

function holding({ bodies }: Llm, bytes: number): Disposable {
  bodies.take(bytes)
  return { [Symbol.dispose]: () => bodies.giveBack(bytes) }
}

async function refused(
  llm: Llm,
  event: string,
  arrival: Arrival,
  proof: RunProof,
  error: unknown,
): Promise<void> {
  if (asVestryError(error).code === 'RATE_LIMITED') {
    llm.stations.refused(`agent:${proof.agent.name}`, 'llm.in_flight_per_run')
    return
  }
  const data = runData(llm, proof, arrival)
  await recordRefusal(llm, { arrival, event, proof, data }, error)
}
