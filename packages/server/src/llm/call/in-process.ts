/** A chat call that this process makes itself, within a run: by the same way as over the wire, without the wire. */
import { asVestryError, VestryError } from '@vestry/contract/errors'
import type { ChatCompletion } from '@vestry/sdk/llm/providers'
import type { Peer } from '../../identity/caller.ts'
import type { RunProof } from '../../identity/runs/run-gate.ts'
import type { Llm } from '../llm.ts'
import { wireError } from '../wire/error-body.ts'
import { answerChat } from './answered.ts'
import { type Arrival, IN_PROCESS, runData } from './model-call.ts'
import { readChat } from './request.ts'
import { recordRefusal } from './single-records.ts'

export interface OwnChat {
  readonly proof: RunProof
  readonly requestId: string
  readonly peer: Peer
  /** Of the work that asks. */
  readonly traceparent: string
  /** Of a chat completion, not streamed. */
  readonly body: Readonly<Record<string, unknown>>
}

const EVENT = 'llm.chat'

/** @throws VestryError in the codes of model calls; the signal's reason. */
export async function chatInProcess(
  llm: Llm,
  chat: OwnChat,
  signal: AbortSignal,
): Promise<ChatCompletion> {
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
    using call = llm.calls.begin()
    const ended = AbortSignal.any([signal, call.controller.signal])
    const received = { arrival, proof, provider: undefined, category: undefined, body }
    const request = readChat(llm, received)
    prepared = true // from here on the stations record what comes of it
    const answer = await answerChat(llm, request, ended)
    return JSON.parse(Buffer.from(answer.body).toString('utf8')) as ChatCompletion // ours
  } catch (error) {
    if (!prepared) await refused(llm, arrival, proof, error)
    if (wireError(error).status < 500 && !signal.aborted) llm.denials.count(proof.run.id)
    throw error
  }
}

function holding({ bodies }: Llm, bytes: number): Disposable {
  bodies.take(bytes)
  return { [Symbol.dispose]: () => bodies.giveBack(bytes) }
}

async function refused(llm: Llm, arrival: Arrival, proof: RunProof, error: unknown): Promise<void> {
  if (asVestryError(error).code === 'RATE_LIMITED') {
    llm.stations.refused(`agent:${proof.agent.name}`, 'llm.in_flight_per_run')
    return
  }
  const data = runData(llm, proof, arrival)
  await recordRefusal(llm, { arrival, event: EVENT, proof, data }, error)
}
