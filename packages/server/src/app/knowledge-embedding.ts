/** Asks a provider for embeddings of knowledge, as the agent that the settings name: in a run of its own. */
import { VestryError } from '@vestry/contract/errors'
import { newRequestId } from '@vestry/contract/ids'
import { newRun, readRegistration } from '../identity/runs/run-registration.ts'
import { formatTraceparent, newTrace } from '../identity/traceparent.ts'
import type { ProviderEmbedderDeps } from '../knowledge/embedding/provider.ts'
import { embedInProcess } from '../llm/call/in-process.ts'
import { ORG } from '../runtime/agents/model-problem.ts'
import type { Parts } from './assemble.ts'
import type { LlmPart } from './llm-parts.ts'
import type { RunsPart } from './runs-part.ts'

/** Runs cannot be prolonged; a new one begins when the last is nearly over. */
const RUN_MS = 3_600_000
const NEARLY_OVER_MS = 120_000
/** Sockets and files of a run are served by its node; this one has none. */
const NO_NODE = ''
const PEER = { transport: 'unix' } as const

/** @returns Calls of the gateway, which fail with EMBEDDER_UNAVAILABLE as long as there is no such agent. */
export function knowledgeEmbedding(
  { config, agents, vault }: Parts,
  { llm: { llm }, runs }: { readonly llm: LlmPart; readonly runs: RunsPart },
): ProviderEmbedderDeps['call'] {
  const { identity, runtime } = config
  const { now } = vault
  let current: { readonly id: string; readonly endsAtMs: number } | undefined
  let beginning: Promise<string> | undefined

  const begin = async (): Promise<string> => {
    const agent = await agents.byName(runtime.knowledge_agent)
    if (agent === undefined)
      throw new VestryError(
        'EMBEDDER_UNAVAILABLE',
        `There is no agent "${runtime.knowledge_agent}" to ask a provider as`,
        { hint: 'Add it, and permit it llm:embed; or name another in runtime.knowledge_agent.' },
      )
    const id = `knowledge-${newRequestId().replace(/^[a-z]+_/, '')}`
    const endsAtMs = now() + RUN_MS
    const registration = readRegistration({
      run_id: id,
      org_id: ORG,
      agent_type: agent.name,
      agent_mode: 'knowledge',
      spiffe_id: `spiffe://${identity.trust_domain}/runtime/${id}`,
      scope: config.llm.required_scope,
      allowed_models: { embeddings: [runtime.knowledge_model] },
      rctx: { trigger: 'knowledge' },
      expires_at: new Date(endsAtMs).toISOString(),
    })
    const run = newRun(registration, {
      agent,
      trustDomain: identity.trust_domain,
      runPathPrefix: identity.run_path_prefix,
      tratTtlSeconds: identity.trat_ttl_seconds,
      node: NO_NODE,
      uid: undefined,
      nowMs: now(),
    })
    await runs.runs.add(run)
    current = { id, endsAtMs }
    return id
  }

  /** One run for all that are asked at once. */
  const openRun = async (): Promise<string> => {
    if (current !== undefined && current.endsAtMs - now() > NEARLY_OVER_MS) return current.id
    beginning ??= begin().finally(() => {
      beginning = undefined
    })
    return await beginning
  }

  return async (body, signal) => {
    const proof = await runs.gate.ownProof(await openRun()).catch((error: unknown) => {
      current = undefined // closed by an operator, or its agent is gone: the next call begins another
      throw error
    })
    const traceparent = formatTraceparent(newTrace(undefined))
    const call = { proof, requestId: newRequestId(), peer: PEER, traceparent, body: { ...body } }
    return await embedInProcess(llm, call, signal)
  }
}
