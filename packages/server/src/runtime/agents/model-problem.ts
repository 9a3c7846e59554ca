/** Whether a model could be asked now, before anybody asks it. */
import { parseModelRef } from '@vestry/sdk/llm/providers'
import { isMocked } from '../../llm/call/protected.ts'
import type { Llm } from '../../llm/llm.ts'
import { findKey } from '../../llm/providers/provider-key.ts'

/** The organisation that runs of the runtime are of. */
export const ORG = 'runtime'

/** @returns What is wrong, in words; undefined: nothing is. */
export async function modelProblem(
  llm: Pick<Llm, 'providers' | 'dev' | 'credentials'>,
  model: string,
): Promise<string | undefined> {
  const ref = referenceOf(model)
  if (ref === undefined) return `"${model}" names no model`
  const known = llm.providers.find(ref.provider)
  if (known === undefined) return `no provider is called "${ref.provider}"`
  if (await isMocked(llm, known, ORG)) return undefined
  if (known.credential === undefined) return undefined
  if ((await findKey(llm.credentials, known, ORG)) !== undefined) return undefined
  return `there is no key for ${known.name} yet`
}

/** @returns undefined for what no run could be registered with. */
export function referenceOf(text: string): { provider: string; model: string } | undefined {
  try {
    return /[*?\p{C}]/u.test(text) ? undefined : parseModelRef(text)
  } catch {
    return undefined
  }
}
