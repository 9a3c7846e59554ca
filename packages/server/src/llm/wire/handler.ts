/**
 * The life of one request on this wire: its head, who sends it, its body, the call, the answer. Every request gets
 * exactly one answer, after all of it was read.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { asVestryError, VestryError } from '@vestry/contract/errors'
import { newRequestId } from '@vestry/contract/ids'
import { sourceKey } from '../../identity/peer.ts'
import type { RunProof } from '../../identity/runs/run-gate.ts'
import { type Arrival, runData } from '../call/model-call.ts'
import { listModels } from '../call/models.ts'
import type { Received } from '../call/request.ts'
import { recordRefusal, recordSingle } from '../call/single-records.ts'
import type { Llm } from '../llm.ts'
import { callOf } from './calls.ts'
import { wireError } from './error-body.ts'
import { dropUnread, type Exchange, errorReply, reportFault, sendReply } from './reply.ts'
import { readBody } from './request-body.ts'
import {
  assertJson,
  assertSingleHeaders,
  headerText,
  headerValues,
  peerOf,
} from './request-head.ts'
import { type Route, routeOf } from './routes.ts'

export interface Listening {
  readonly listener: 'unix' | 'http'
  /** False where the connections of this listener are too many. */
  readonly roomFor?: () => boolean
}

/** Answers; never throws. */
export async function handle(
  llm: Llm,
  request: IncomingMessage,
  response: ServerResponse,
  listening: Listening,
): Promise<void> {
  const startedMs = performance.now()
  const route = routeOf(request.url ?? '')
  const exchange: Exchange = {
    request,
    response,
    requestId: newRequestId(),
    envelope: envelopeOf(request.url ?? ''),
  }
  // A client that goes away is noticed where it matters; its errors must not end the process.
  request.on('error', () => undefined)
  response.on('error', () => undefined)
  try {
    await answer(llm, exchange, route, listening, startedMs)
  } catch (error) {
    reportFault(llm, exchange, error)
    await sendReply(exchange, errorReply(error, exchange)).catch(() => response.destroy())
  }
  const { idle_timeout_ms: stallMs, stream_timeout_ms: totalMs } = llm.settings
  dropUnread(response, { stallMs, totalMs })
  const status = response.headersSent ? response.statusCode : 499
  llm.metrics.request(route?.path ?? 'unknown', status, performance.now() - startedMs)
}

/** Errors of whatever lies below Anthropic's route have its shape. */
function envelopeOf(target: string): Exchange['envelope'] {
  return target.startsWith('/v1/messages') ? 'anthropic' : 'openai'
}

async function answer(
  llm: Llm,
  exchange: Exchange,
  route: Route | undefined,
  listening: Listening,
  startedMs: number,
): Promise<void> {
  const { request } = exchange
  if (route === undefined) throw new VestryError('ROUTE_NOT_FOUND')
  if (request.method !== route.method)
    throw new VestryError('METHOD_NOT_ALLOWED', undefined, { context: { allow: route.method } })
  if (route.kind === 'health') {
    if (llm.draining()) throw new VestryError('SHUTTING_DOWN')
    return sendReply(exchange, { status: 200, body: '{"status":"ok"}' })
  }
  if (llm.draining()) throw new VestryError('SHUTTING_DOWN')
  if (llm.seal.state !== 'unsealed') throw new VestryError('VAULT_LOCKED', 'The gateway is sealed')
  if (listening.roomFor?.() === false)
    throw new VestryError('GATEWAY_OVERLOADED', 'Too many connections')
  const arrival: Arrival = {
    requestId: exchange.requestId,
    route: route.path,
    peer: peerOf(request, listening.listener),
    startedMs,
    traceparent: headerText(request, 'traceparent'),
    clientRequestId: headerText(request, 'x-request-id'),
    idempotencyKey: idempotencyKey(request),
  }
  const proof = await identified(llm, exchange, route, arrival)
  try {
    llm.denials.assertOpen(proof.run.id)
  } catch (error) {
    llm.stations.refused(`agent:${proof.agent.name}`, 'llm.refused')
    throw error
  }
  try {
    await served(llm, exchange, route, arrival, proof)
  } catch (error) {
    if (REFUSALS.has(wireError(error).status)) llm.denials.count(proof.run.id)
    throw error
  }
}

/** Answers that are a client's own fault, and that it could ask for without end; 499: it left before there was one. */
const REFUSALS: ReadonlySet<number> = new Set([400, 403, 404, 405, 408, 413, 415, 499])

/** @throws VestryError The refusal, recorded; RATE_LIMITED where there were too many. */
async function identified(
  llm: Llm,
  { request }: Exchange,
  route: Route,
  arrival: Arrival,
): Promise<RunProof> {
  try {
    assertSingleHeaders(request)
    return await llm.gate.verify({
      authorization: headerValues(request, 'authorization'),
      txnToken: headerValues(request, 'txn-token'),
    })
  } catch (error) {
    if (wireError(error).status >= 500) throw error
    const source = sourceKey(arrival.peer, 'llm')
    try {
      llm.denials.count(source)
    } catch (flood) {
      llm.stations.refused('anonymous', 'llm.unauthenticated')
      throw flood
    }
    await recordRefusal(llm, { arrival, event: route.event, data: {} }, error)
    throw error
  }
}

async function served(
  llm: Llm,
  exchange: Exchange,
  route: Route,
  arrival: Arrival,
  proof: RunProof,
): Promise<void> {
  const { request } = exchange
  const { settings } = llm
  let prepared = false
  try {
    using _place = llm.inFlight.enter(proof.run.id)
    if (route.kind === 'models') {
      const body = JSON.stringify(listModels(llm, proof))
      prepared = true
      await recordSingle(llm, {
        arrival,
        event: route.event,
        proof,
        data: runData(llm, proof, arrival),
      })
      return await sendReply(exchange, { status: 200, body })
    }
    assertJson(request)
    using body = await readBody(request, {
      maxBytes: settings.body_limit_bytes,
      timeoutMs: settings.body_timeout_ms,
      memory: llm.bodies,
    })
    const received: Received = {
      arrival,
      proof,
      body: body.bytes,
      provider: headerText(request, 'x-provider'),
      category: headerText(request, 'x-sage-category'),
    }
    const call = callOf(llm, exchange, route, received)
    prepared = true // from here on the stations record what comes of it
    await call()
  } catch (error) {
    if (!prepared) await refuse(llm, route, arrival, proof, error)
    throw error
  }
}

/** Of a run that is known, before policy was asked. */
async function refuse(
  llm: Llm,
  route: Route,
  arrival: Arrival,
  proof: RunProof,
  error: unknown,
): Promise<void> {
  if (asVestryError(error).code === 'RATE_LIMITED') {
    llm.stations.refused(`agent:${proof.agent.name}`, 'llm.in_flight_per_run')
    return
  }
  const data = runData(llm, proof, arrival)
  await recordRefusal(llm, { arrival, event: route.event, proof, data }, error)
}

function idempotencyKey(request: IncomingMessage): string | undefined {
  const key = headerText(request, 'idempotency-key')
  return key === undefined || key === '' || key.length > 256 ? undefined : key
}
