/** What a running program reaches: each effect by its own file, and what became of it for the record of the run. */
import type { EffectCall, EffectName, Host, ProgramStep, Value } from '../../dsl/host.ts'
import type { Step } from '../agents/loop.ts'
import { ask } from './effects/ask.ts'
import { callTool } from './effects/call-tool.ts'
import { httpRequest } from './effects/http-request.ts'
import { parsePayload, validateSignature } from './effects/inbound.ts'
import { recall, remember, searchKnowledge } from './effects/knowledge.ts'
import { generateId, log, now } from './effects/local.ts'
import { publish } from './effects/publish.ts'
import { secret, verifyHmac } from './effects/secret.ts'
import { triggerWorkflow } from './effects/workflow.ts'
import type { ProgramRun } from './program-run.ts'

type Effect = (run: ProgramRun, call: EffectCall, signal: AbortSignal) => Promise<Value>

const EFFECTS: Readonly<Record<EffectName, Effect>> = {
  validate_signature: validateSignature,
  parse_payload: parsePayload,
  trigger_workflow: triggerWorkflow,
  log,
  publish,
  call_tool: callTool,
  ask,
  search_knowledge: searchKnowledge,
  remember,
  recall,
  secret,
  http_request: httpRequest,
  now,
  generate_id: generateId,
  verify_hmac_sha256: verifyHmac,
}

/** @param onStep For the record of the run. */
export function programHost(given: Omit<ProgramRun, 'onNote'>, onStep: (step: Step) => void): Host {
  // Calls come one after the other, so a note is of the one that ends next.
  let note: string | undefined
  const onNote = (text: string) => {
    note = text
  }
  // Not a copy: of a run that no agent asked for, asking who the agent is fails.
  const run: ProgramRun = Object.create(given, { onNote: { value: onNote } })
  return {
    effect: (call, signal) => {
      note = undefined
      return EFFECTS[call.name](run, call, signal)
    },
    progress: (step) => {
      onStep(recorded(step, note))
      note = undefined
    },
  }
}

const MAX_MESSAGE_CHARS = 1_000

function recorded({ error, ...step }: ProgramStep, note: string | undefined): Step {
  return {
    kind: 'program',
    ...step,
    ...(error !== undefined && {
      code: error.code,
      message: error.message.slice(0, MAX_MESSAGE_CHARS).toWellFormed(),
    }),
    ...(note !== undefined && { note }),
  }
}
