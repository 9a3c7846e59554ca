/** `validate_signature()` and `parse_payload()`: the request from outside that fired the run, if one did. */
import type { EffectCall, Value } from '../../../dsl/host.ts'
import { ONLY_PROTO, readStrictJson } from '../../../json/strict-json.ts'
import { wrong } from '../arguments.ts'
import { effectStep, type ProgramRun } from '../program-run.ts'

export function validateSignature(run: ProgramRun, call: EffectCall): Promise<Value> {
  // Of what came from outside, the signature was verified before the run was accepted: else there would be none.
  run.onNote(
    run.program.inbound === undefined
      ? 'nothing to check: it was invoked directly'
      : `verified when it came in, as ${run.program.inbound.provider} signs`,
  )
  return effectStep(run, call, { repeatable: true }, async () => true)
}

export function parsePayload(run: ProgramRun, call: EffectCall): Promise<Value> {
  return effectStep(run, call, { repeatable: true }, async () => payloadOf(run, call))
}

function payloadOf({ program: { inbound }, input }: ProgramRun, call: EffectCall): Value {
  if (inbound === undefined) return input
  const body = Buffer.from(inbound.body, 'base64')
  const type = inbound.contentType.split(';', 1)[0]?.trim().toLowerCase() ?? ''
  if (type === 'application/x-www-form-urlencoded') {
    const form = Object.fromEntries(new URLSearchParams(body.toString('utf8')))
    // As GitHub and Slack send JSON within a form.
    const { payload } = form
    return payload === undefined ? form : json(call, Buffer.from(payload))
  }
  return json(call, body)
}

function json(call: EffectCall, bytes: Buffer): Value {
  try {
    // No stricter than the door through which it came.
    return readStrictJson(bytes, ONLY_PROTO) as Value // JSON is
  } catch {
    throw wrong(call, 'the request is neither JSON nor a form')
  }
}
