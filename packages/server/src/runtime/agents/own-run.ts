/** The run that an execution acts in: as any run is registered, but no process of its own is served for it. */
import { VestryError } from '@vestry/contract/errors'
import type { Run } from '../../identity/runs/run.ts'
import { newRun, readRegistration } from '../../identity/runs/run-registration.ts'
import { ORG, referenceOf } from './model-problem.ts'
import type { AskedRun } from './runner.ts'

export interface OwnRunPlace {
  readonly trustDomain: string
  readonly runPathPrefix: string
  readonly tratTtlSeconds: number
  /** What a run needs to call models. */
  readonly scope: string
  /** Epoch ms. */
  readonly now: () => number
}

/** Sockets and files of a run are served by its node; this one has none. */
const NO_NODE = ''
/** Of the list of tools, which is for people to see. */
const MAX_TOOLS_BYTES = 8_192

/** @throws VestryError MODEL_PROVIDER_NOT_CONFIGURED, INVALID_PARAMS */
export function ownRun(asked: AskedRun, place: OwnRunPlace): Run {
  const { agent, tools } = asked
  if (referenceOf(asked.model) === undefined)
    throw new VestryError('MODEL_PROVIDER_NOT_CONFIGURED', `"${asked.model}" names no model`)
  const fits = Buffer.byteLength(JSON.stringify(tools)) <= MAX_TOOLS_BYTES
  const registration = readRegistration({
    run_id: asked.id,
    org_id: ORG,
    agent_type: agent.name,
    agent_mode: 'runtime',
    // Not that of the agent: a process of the agent's own would find this run to be its own, and get tokens of it.
    spiffe_id: `spiffe://${place.trustDomain}/runtime/${asked.id}`,
    scope: place.scope,
    allowed_models: { reasoning: [asked.model] },
    ...(fits && { allowed_tools: tools }),
    rctx: { trigger: asked.trigger, actor: asked.actor },
    expires_at: new Date(asked.expiresAtMs).toISOString(),
  })
  return newRun(registration, {
    agent,
    trustDomain: place.trustDomain,
    runPathPrefix: place.runPathPrefix,
    tratTtlSeconds: place.tratTtlSeconds,
    node: NO_NODE,
    uid: undefined,
    nowMs: place.now(),
  })
}
