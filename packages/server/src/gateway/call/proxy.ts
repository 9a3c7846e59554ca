/**
 * The entry of proxied calls (gateway contract §7.3): body, token and proof; then the call is run, or submitted as a
 * job. It goes on when the client hangs up, so that a retry finds its result.
 */
import { VestryError } from '@vestry/contract/errors'
import { newRequestId } from '@vestry/contract/ids'
import type { Correlation } from '../../http/correlation.ts'
import type { Agent } from '../../identity/agent.ts'
import { newCaller } from '../../identity/caller.ts'
import { readStrictJson } from '../../json/strict-json.ts'
import type { Gateway } from '../gateway.ts'
import type { Submitted } from '../jobs/job-status.ts'
import { submitJob } from '../jobs/job-submit.ts'
import { recordCall } from '../record.ts'
import type { AgentProof } from '../tokens/signed-request.ts'
import type { Json } from '../tools/tool.ts'
import { within } from './answer-time.ts'
import { type CallBody, readCallBody } from './call-body.ts'
import { conflict, joinOrStart } from './duplicates.ts'
import { type Identity, identityOf } from './idempotency.ts'
import { effectiveIntent } from './intent.ts'
import type { Answer } from './outcome.ts'
import { runCall } from './run-call.ts'
import type { ToolCall } from './tool-call.ts'

export interface ProxyRequest {
  readonly rawBody: Uint8Array
  readonly correlation: Correlation
  /** Remote address. */
  readonly address: string
  /** Header values, undefined where absent. */
  readonly headers: {
    readonly authorization: string | undefined
    readonly idempotencyKey: string | undefined
    readonly intent: string | undefined
    readonly txnToken: string | undefined
    readonly traceparent: string | undefined
  }
  /** What an agent may have signed, and how. */
  readonly signed: {
    readonly method: string
    readonly path: string
    readonly proof: AgentProof
  }
  /** Milliseconds after which an answer is due, whatever still runs. */
  readonly answerWithinMs: number | undefined
  /** What the answer's headers will say, also when it is an error. */
  readonly onToken: (expiresAtMs: number) => void
  /** Names of the tool and action, for the metrics. */
  readonly onNamed: (tool: string, action: string) => void
}

export type ProxyResult =
  | { readonly kind: 'answer'; readonly answer: Answer }
  | { readonly kind: 'job'; readonly job: Submitted }

/** @throws VestryError as gateway contract §4.3 lists them. */
export async function proxy(gateway: Gateway, request: ProxyRequest): Promise<ProxyResult> {
  if (gateway.draining()) throw new VestryError('SHUTTING_DOWN')
  void gateway.seal.keys // throws VAULT_LOCKED before anything else is said
  const body = readCallBody(bodyOf(request))
  request.onNamed(body.tool, body.action)
  const call = await acceptCall(gateway, request, body)
  const identity = identityOf({
    agentId: call.agentId,
    tool: call.tool,
    action: call.action,
    params: call.params,
    bodyKey: body.key,
    headerKey: request.headers.idempotencyKey,
    correlationId: request.correlation.given ? request.correlation.id : undefined,
    rawBody: request.rawBody,
  })
  const keyed = { ...call, idempotencyKey: identity.explicit }
  if (body.queued) return { kind: 'job', job: await submitOnce(gateway, keyed, identity) }
  const landed = joinOrStart(gateway, keyed, identity, (prepared) =>
    runCall(gateway, prepared, identity),
  )
  const answer = await within(landed, gateway.ending, request.answerWithinMs)
  return { kind: 'answer', answer }
}

/** The same submission twice at once is one, and is charged once. */
async function submitOnce(
  gateway: Gateway,
  call: ToolCall,
  identity: Identity,
): Promise<Submitted> {
  const { key, fingerprint } = identity
  const flying = key === undefined ? undefined : gateway.submissions.get(key)
  if (flying !== undefined && flying.fingerprint !== fingerprint) throw conflict()
  const landed =
    flying?.landed ??
    gateway.submissions.start(key, fingerprint, () => submitJob(gateway, call, identity))
  return landed
}

function bodyOf({ rawBody, headers }: ProxyRequest): Json {
  const value = readStrictJson(rawBody) as Json
  const bearer = /^Bearer ([\x21-\x7e]+)$/i.exec(headers.authorization ?? '')?.[1]
  const isCall = typeof value === 'object' && value !== null && !Array.isArray(value)
  // The token may come where tokens belong, out of the body.
  if (bearer === undefined || !isCall || value['agent_token'] !== undefined) return value
  return { ...value, agent_token: bearer }
}

/** The token and what goes with it; whoever is refused here leaves a record too. */
async function acceptCall(
  gateway: Gateway,
  request: ProxyRequest,
  body: CallBody,
): Promise<ToolCall> {
  const requestId = newRequestId()
  const { correlation, address, headers } = request
  try {
    const accepted = await gateway.tokens.accept(body, address, request.onToken)
    const { agent, row } = accepted
    const { method, path, proof } = request.signed
    await gateway.tokens.checkSigned(agent, { method, path, body: request.rawBody }, proof)
    admitAgent(gateway, agent)
    const txn = await gateway.tokens.txnOf(accepted, headers.txnToken)
    const peer = { transport: 'http' as const, address }
    const principal = { kind: 'agent' as const, agent }
    return {
      requestId,
      correlationId: correlation.id,
      caller: newCaller({ principal, peer, txn }, headers.traceparent),
      agentId: agent.id,
      agentName: agent.displayName,
      tool: body.tool,
      action: body.action,
      params: body.params,
      intent: effectiveIntent({
        body: body.intent,
        header: headers.intent,
        params: body.params['intent'],
        token: row.intent,
      }),
      reason: body.reason,
      token: { id: row.tokenId, tools: row.tools, permissions: row.permissions },
      idempotencyKey: undefined,
    }
  } catch (error) {
    await recordCall(gateway, { requestId, correlationId: correlation.id, body, error })
    throw error
  }
}

/** However often it is refused: what one agent may ask for at all. */
function admitAgent({ stations, requestRate }: Gateway, { id }: Agent): void {
  if (requestRate === undefined) return
  stations.limits.take({ kind: 'bucket', key: `gateway:${id}`, scope: 'agent', ...requestRate })
}
