/** `call`: a claimed caller's tool call, through the same stations as one over HTTP. */

import { VestryError } from '@vestry/contract/errors'
import { newRequestId } from '@vestry/contract/ids'
import { within } from '../../gateway/call/answer-time.ts'
import { joinOrStart } from '../../gateway/call/duplicates.ts'
import { identityOf } from '../../gateway/call/idempotency.ts'
import { effectiveIntent } from '../../gateway/call/intent.ts'
import { runCall } from '../../gateway/call/run-call.ts'
import type { Gateway } from '../../gateway/gateway.ts'
import type { JsonObject } from '../../gateway/tools/tool.ts'
import { readStrictJson } from '../../json/strict-json.ts'
import { isRecord } from '../collector/envelope.ts'
import { type ActionAnswer, failed, refused } from './answer.ts'
import type { Claimed } from './claimed-caller.ts'

/** As over HTTP: a tool and its action. */
const NAME = /^[a-z][a-z0-9_]{0,31}:[a-z][a-z0-9_]{0,31}$/
const MAX_REASON_CHARS = 256

/** @returns The result as JSON in `message`; a refusal, a question to operators or a failure as its status says. */
export async function callAction(
  gateway: Gateway,
  claimed: Claimed,
  line: Readonly<Record<string, unknown>>,
): Promise<ActionAnswer> {
  const { action: name, params = {}, intent, reason, idempotency_key: bodyKey } = line
  if (typeof name !== 'string' || !NAME.test(name))
    return refused('error', 'invalid request: "action" must be a name from list_actions')
  if (!isRecord(params)) return refused('error', 'invalid request: "params" must be an object')
  if (reason !== undefined && reason !== null && !isReason(reason))
    return refused(
      'error',
      `invalid request: "reason" must be text of 1 to ${MAX_REASON_CHARS} characters`,
    )
  const { agent, claim, caller } = claimed
  const requestId = newRequestId()
  try {
    if (gateway.draining()) throw new VestryError('SHUTTING_DOWN')
    void gateway.seal.keys // throws VAULT_LOCKED before anything else is said
    admit(gateway, agent.id)
    const at = name.indexOf(':')
    const asked = {
      agentId: agent.id,
      tool: name.slice(0, at),
      action: name.slice(at + 1),
      // Telemetry may name members as it likes; what a tool is given may not.
      params: readStrictJson(Buffer.from(JSON.stringify(params))) as JsonObject,
    }
    const identity = identityOf({
      ...asked,
      bodyKey,
      headerKey: undefined,
      correlationId: undefined,
      rawBody: Buffer.alloc(0),
    })
    const call = {
      ...asked,
      requestId,
      correlationId: requestId,
      caller,
      agentName: agent.displayName,
      intent: effectiveIntent({
        body: intent,
        header: undefined,
        params: asked.params['intent'],
        token: undefined,
      }),
      reason: isReason(reason) ? reason : undefined,
      // What the claim was granted covers the call, or the call is refused.
      token: { id: claim.id, tools: ['*'], permissions: claim.capabilities },
      idempotencyKey: identity.explicit,
    }
    const landed = joinOrStart(gateway, call, identity, (prepared) =>
      runCall(gateway, prepared, identity),
    )
    const { data } = await within(landed, gateway.ending)
    const message = typeof data === 'string' ? data : JSON.stringify(data)
    return { ok: true, status: 'executed', id: requestId, action: name, message }
  } catch (error) {
    if (!(error instanceof VestryError)) gateway.onInternalError(requestId, error)
    return { id: requestId, ...failed(named(error, agent.name)), action: name }
  }
}

/** The stations know of tokens only; here it is the claim that does not cover the call. */
function named(error: unknown, agent: string): unknown {
  if (!(error instanceof VestryError) || error.context['reason_code'] !== 'TOKEN_PERMISSION')
    return error
  return new VestryError(error.code, 'the claim holds no capability for this action', {
    hint: `an operator grants one: vestry agent claims ${agent} --capability read`,
    context: error.context,
  })
}

/** An empty one is none: policy may ask for one. */
function isReason(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= MAX_REASON_CHARS
}

/** The same bucket as over HTTP. */
function admit({ stations, requestRate }: Gateway, agentId: string): void {
  if (requestRate === undefined) return
  stations.limits.take({
    kind: 'bucket',
    key: `gateway:${agentId}`,
    scope: 'agent',
    ...requestRate,
  })
}
