/** `GET /v1/models`: what the run may use, in the shape of OpenAI's list. */
import { VestryError } from '@vestry/contract/errors'
import type { RunProof } from '../../identity/runs/run-gate.ts'
import type { Llm } from '../llm.ts'
import { allModels, hasScope, providersOf } from './model-ref.ts'

/** @throws VestryError SCOPE_NOT_ALLOWED */
export function listModels({ settings, now }: Llm, proof: RunProof): Record<string, unknown> {
  if (!hasScope(proof.claims.scope, settings.required_scope))
    throw new VestryError('SCOPE_NOT_ALLOWED', 'The run has no scope for model calls')
  const providers = providersOf(proof)
  const created = Math.floor(now() / 1_000)
  const refs = allModels(proof).map((ref) => {
    const colon = ref.indexOf(':')
    return { provider: ref.slice(0, colon), model: ref.slice(colon + 1) }
  })
  return {
    object: 'list',
    data: refs
      .filter(({ provider }) => providers?.includes(provider) !== false)
      .map(({ provider, model }) => ({ id: model, object: 'model', created, owned_by: provider })),
  }
}
