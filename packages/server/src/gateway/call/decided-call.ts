/** A call that policy has allowed, as it is carried out; and how it is denied should policy have more to say then. */
import { VestryError } from '@vestry/contract/errors'
import type { Note } from '../../call/perform.ts'
import type { Target } from '../../egress/url.ts'
import type { Caller } from '../../identity/caller.ts'
import type { Decision, PolicyContext, PolicyRequest } from '../../policy/engine.ts'
import type { Gateway } from '../gateway.ts'
import type { JsonObject, RequestContext, Tool, ToolAction } from '../tools/tool.ts'

export interface DecidedCall {
  readonly gateway: Gateway
  readonly caller: Caller
  readonly tool: Tool
  readonly action: ToolAction
  readonly params: JsonObject
  readonly decision: Decision
  /** The question that was decided: asked again about each redirect. */
  readonly resource: PolicyRequest['resource']
  readonly context: PolicyContext
  /** Facts about a target that policy is told besides the target itself. */
  readonly holdsFor: (target: Target) => readonly string[]
  readonly request: RequestContext
  /** No attempt begins after this moment (epoch ms). */
  readonly retryUntilMs: number
  readonly signal: AbortSignal | undefined
  /** Awaited before anything goes out. */
  readonly onSend: () => Promise<void>
  readonly progress: Progress
  readonly note: Note
}

/** How far a call came, whatever ended it. */
export interface Progress {
  /** The provider may have heard of it. */
  contacted: boolean
  /** The reply came from elsewhere than was asked. */
  redirected: boolean
}

/** A denial that is only known once the tool has run, or is on its way. */
export function deniedByPolicy(
  { tool, action, decision }: DecidedCall,
  reasonCode: string,
  reason: string,
  more: Readonly<Record<string, unknown>> = {},
): VestryError {
  return new VestryError('ACCESS_DENIED', reason, {
    hint: `"vestry why ${decision.id}" explains the decision`,
    context: {
      tool: `${tool.name}:${action.name}`,
      reason_code: reasonCode,
      decision: decision.id,
      ...more,
    },
  })
}
