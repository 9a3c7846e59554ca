/** A request whose run was proved and whose body was read: what is asked of policy, and what the record says of it. */

import type { Caller, Peer } from '../../identity/caller.ts'
import { lineageFacts } from '../../identity/lineage.ts'
import type { RunProof } from '../../identity/runs/run-gate.ts'
import { newTrace } from '../../identity/traceparent.ts'
import { hmacTag } from '../../seal/hash.ts'
import { applyDlp } from '../dlp/scan.ts'
import type { CallSize, Estimate } from '../estimate.ts'
import type { Llm } from '../llm.ts'
import type { ResolvedModel, RunClaims } from './model-ref.ts'

/** Headers of a request that is in a run. */
export interface Arrival {
  readonly requestId: string
  readonly route: string
  readonly peer: Peer
  /** Monotonic. */
  readonly startedMs: number
  readonly traceparent: string | undefined
  /** Header `X-Request-Id`: the client's name for the call, the same in all its attempts. */
  readonly clientRequestId: string | undefined
  readonly idempotencyKey: string | undefined
}

/** The route of calls that agents make which this process runs itself. */
export const IN_PROCESS = 'in-process'

export interface ModelCall {
  readonly arrival: Arrival
  readonly proof: RunProof
  /** Policy action. */
  readonly action: 'llm:chat' | 'llm:embed'
  /** Of the record: `llm.chat`, `llm.embed`, `llm.message`, `llm.count_tokens`. */
  readonly event: string
  readonly target: ResolvedModel
  readonly claims: RunClaims
  /** In the provider's own API, untranslated. */
  readonly native: boolean
  readonly stream: boolean
  readonly bodyBytes: number
  /** For answers that nobody counted. */
  readonly size: CallSize
  /** Undefined: it costs nothing. */
  readonly estimate: Estimate | undefined
  /** What was taken out of the request, by rule. */
  readonly redacted: readonly string[]
  /** Digest of the body. */
  readonly content: () => string
  /** Of everything that shapes the answer; undefined where the client gave no key. */
  readonly duplicateKey: string | undefined
}

export function callerOf({ proof, arrival }: Pick<ModelCall, 'proof' | 'arrival'>): Caller {
  return {
    principal: { kind: 'agent', agent: proof.agent },
    peer: arrival.peer,
    txn: proof.run.id,
    trace: newTrace(arrival.traceparent),
  }
}

/** What a client calls something is written down, unless it may be a secret in the wrong place. */
const NAME = /^[\w.:@/+=-]{1,128}$/

function isName(text: string): boolean {
  return NAME.test(text) && !text.startsWith('eyJ') && applyDlp(text, 'redact').found.length === 0
}

/** Of the run and the request, for every record of it. No values, no tokens. */
export function runData(
  { seal }: Pick<Llm, 'seal'>,
  proof: RunProof,
  arrival: Pick<Arrival, 'route' | 'clientRequestId' | 'idempotencyKey'>,
): Record<string, unknown> {
  const { tctx, rctx } = proof.claims
  const { clientRequestId: client, idempotencyKey: key } = arrival
  return {
    route: arrival.route,
    run: proof.run.id,
    org: tctx.org_id,
    agent_type: tctx.agent_type,
    agent_mode: tctx.agent_mode,
    spiffe_id: proof.spiffeId,
    trat: proof.tokenHash,
    ...(rctx.trigger !== undefined && { trigger: rctx.trigger }),
    ...(rctx.actor !== undefined && { requester: rctx.actor }),
    ...(rctx.pr_number !== undefined && { pr: rctx.pr_number }),
    ...(rctx.source_ip !== undefined && { source_ip: hmacTag(seal.keys.hashKey, rctx.source_ip) }),
    ...(client !== undefined && isName(client) && { client_request_id: client }),
    ...(key !== undefined && {
      idempotency_key: isName(key) ? key : hmacTag(seal.keys.hashKey, key),
    }),
  }
}

export function callData(llm: Pick<Llm, 'seal'>, call: ModelCall): Record<string, unknown> {
  const { arrival, proof, target, stream, bodyBytes, redacted } = call
  return {
    ...runData(llm, proof, arrival),
    provider: target.provider,
    model: target.model,
    category: target.category,
    stream,
    bytes_in: bodyBytes,
    ...(redacted.length > 0 && { dlp: redacted }),
    ...lineageFacts(arrival.peer),
  }
}
