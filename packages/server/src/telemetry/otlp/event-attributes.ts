/** What is said of every event, whatever its kind: who sent it, as the host knows, and where it belongs. */
import type { Attributes } from './attributes.ts'
import { type CoatEvent, count, members, type Payload, text, texts } from './coat-event.ts'
import { spanIdOf, traceIdOf } from './ids.ts'
import { ENVPOD, GEN_AI, OI, OTEL } from './semconv.ts'

export function isClaimed({ envpod, subject }: CoatEvent): boolean {
  return envpod['claim_kind'] === 'claimed' && text(subject['agent_id']) !== undefined
}

/** Name of a claimed caller. What others call themselves is no name. */
export function agentName(event: CoatEvent): string | undefined {
  return isClaimed(event) ? text(event.subject['agent_id']) : undefined
}

/** @param conversation As the run or the session of the event named it. */
export function setCommon(
  into: Attributes,
  event: CoatEvent,
  conversation: string | undefined,
): void {
  const { envpod, ids, payload, subject } = event
  into.set(ENVPOD.spec, event.spec).set(ENVPOD.kind, event.kind).set(ENVPOD.seq, event.seq)
  into.set(ENVPOD.podId, text(envpod['pod_id']))
  into.set(ENVPOD.pid, count(envpod['pid'])).set(ENVPOD.uid, count(envpod['uid']))
  into.set(ENVPOD.claimKind, text(envpod['claim_kind']))
  into.set(ENVPOD.captureMode, event.mode)
  into.set(ENVPOD.framework, text(subject['framework']))
  into.set(ENVPOD.fn, text(payload['fn'])).set(ENVPOD.op, text(payload['op']))
  into.set(ENVPOD.runId, ids.run).set(ENVPOD.stepId, ids.step)
  into.set(ENVPOD.traceId, traceIdOf(ids.trace).original)
  into.set(ENVPOD.spanId, spanIdOf(ids.span, ids.trace).original)
  into.set(ENVPOD.declaredName, text(payload['agent_name']))
  into.set(ENVPOD.overwrote, texts(envpod['overwrote']))
  const session = conversation ?? text(ids.session)
  into.set(OTEL.session, session).set(GEN_AI.conversation, session)
  if (isClaimed(event)) setClaimed(into, event)
  else setAnonymous(into, members(envpod['anonymous']) ?? {})
}

function setClaimed(into: Attributes, { envpod, subject }: CoatEvent): void {
  const name = text(subject['agent_id'])
  into.set(OI.agentName, name).set(GEN_AI.agentName, name)
  into.set(GEN_AI.agentId, text(envpod['agent_uuid']))
  into.set(ENVPOD.role, text(subject['agent_role']))
  into.set(ENVPOD.claimId, text(envpod['agent_claim_id']))
  into.set(ENVPOD.capabilities, texts(envpod['capabilities']))
  into.set(ENVPOD.session, text(envpod['session']))
}

function setAnonymous(into: Attributes, anonymous: Payload): void {
  const session = text(anonymous['session'])
  into.set(ENVPOD.session, session).set(ENVPOD.anonymousSession, session)
  into.set(ENVPOD.anonymousPid, count(anonymous['pid']))
  into.set(ENVPOD.anonymousUid, count(anonymous['uid']))
  into.set(ENVPOD.fingerprint, text(anonymous['fingerprint']))
}
