/** Hooks of the Claude Agent SDK that only look on: they come after the user's own and answer at once. */
import { quietly } from '../adapters/quietly.ts'
import { type Fields, fields, list, text } from '../adapters/shapes.ts'
import type { Tracker } from './tracker.ts'

/** What a hook answers that changes nothing. */
type NoOpinion = Record<string, never>
export type Hook = (input: unknown, toolUseId?: string, context?: unknown) => Promise<NoOpinion>

const EVENTS: Record<string, (tracker: Tracker, input: Fields, toolUseId?: string) => void> = {
  UserPromptSubmit: (tracker, input) => tracker.promptSubmitted(input['prompt']),
  Stop: (tracker) => tracker.turnEnded('ok'),
  StopFailure: (tracker) => tracker.turnEnded('error'),
  PreToolUse(tracker, input, toolUseId) {
    const id = callId(input, toolUseId)
    const name = text(input['tool_name'])
    if (id === undefined || name === undefined) return
    tracker.toolBegan(id, name, input['tool_input'], tracker.placeOf(text(input['agent_id'])))
  },
  PostToolUse(tracker, input, toolUseId) {
    const id = callId(input, toolUseId)
    if (id !== undefined && !isBackground(input)) tracker.toolEnded(id, input['tool_response'])
  },
  PostToolUseFailure(tracker, input, toolUseId) {
    const id = callId(input, toolUseId)
    if (id === undefined) return
    // It ran, so whoever was asked agreed.
    tracker.answered(id, 'approved', undefined)
    tracker.toolFailed(id, text(input['error']) ?? '', input['is_interrupt'] === true)
  },
  PermissionRequest(tracker, input, toolUseId) {
    const name = text(input['tool_name'])
    if (name === undefined) return
    // Without an id there is nothing to tell its answer by.
    const id = callId(input, toolUseId)
    if (id === undefined) return
    tracker.asked(id, name, input['tool_input'], tracker.placeOf(text(input['agent_id'])))
  },
  SubagentStart(tracker, input, toolUseId) {
    const id = text(input['agent_id'])
    if (id !== undefined) tracker.subagentBegan(id, text(input['agent_type']), toolUseId)
  },
  SubagentStop(tracker, input) {
    const id = text(input['agent_id'])
    if (id !== undefined) tracker.subagentEnded(id, input['last_assistant_message'])
  },
  PreCompact: (tracker, input) => tracker.compactionBegan(input['trigger']),
  SessionEnd: (tracker, input) => tracker.sessionEnded(input['reason']),
}

/** Every hook function that is ours: options may pass through here twice. */
const ours = new WeakSet<object>()

/**
 * @param trackerOf Who follows the session that a hook is called for.
 * @returns The hooks with ours behind them; the given object stays as it is.
 */
export function withHooks(
  hooks: unknown,
  trackerOf: (input: Fields, event: string) => Tracker,
): Fields {
  const own = fields(hooks) ?? {}
  const all: Record<string, unknown> = { ...own }
  for (const event of Object.keys(EVENTS)) {
    const theirs = list(own[event]).filter((matcher) => !isOurs(matcher))
    all[event] = [...theirs, { hooks: [hookFor(event, trackerOf)] }]
  }
  return all
}

function isOurs(matcher: unknown): boolean {
  return list(fields(matcher)?.['hooks']).some(
    (hook) => typeof hook === 'function' && ours.has(hook),
  )
}

function hookFor(event: string, trackerOf: (input: Fields, event: string) => Tracker): Hook {
  const hook: Hook = async (input, toolUseId) => {
    quietly(() => {
      const told = fields(input)
      if (told !== undefined) EVENTS[event]?.(trackerOf(told, event), told, toolUseId)
    })
    return {}
  }
  ours.add(hook)
  return hook
}

function callId(input: Fields, toolUseId: string | undefined): string | undefined {
  return text(toolUseId) ?? text(input['tool_use_id'])
}

function isBackground(input: Fields): boolean {
  return fields(input['tool_input'])?.['run_in_background'] === true && isDelegating(input)
}

function isDelegating(input: Fields): boolean {
  return input['tool_name'] === 'Task' || input['tool_name'] === 'Agent'
}
