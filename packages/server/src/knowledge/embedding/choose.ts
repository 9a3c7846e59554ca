/** Which embedder the settings mean, and what takes its place where it is not there. */
import { VestryError } from '@vestry/contract/errors'
import type { Embedder } from '../embedder.ts'
import { hashingEmbedder } from './hashing.ts'
import { offlineEmbedder, offlineInstalled } from './offline.ts'
import { type ProviderEmbedderDeps, providerEmbedder } from './provider.ts'

export interface EmbedderSettings {
  readonly knowledge_embedder: 'offline' | 'hashing' | 'provider'
  /** `provider:model` */
  readonly knowledge_model: string
  readonly knowledge_dimension?: number | undefined
}

export interface ChooseDeps {
  /** Calls of a provider; absent where there is no gateway. */
  readonly call: ProviderEmbedderDeps['call'] | undefined
  readonly warn: (line: string) => void
  /** Whether the packages of the offline model are there; for tests. */
  readonly installed?: () => boolean
}

/** @throws VestryError EMBEDDER_UNAVAILABLE for a provider that cannot be asked; never for the others. */
export function chooseEmbedder(settings: EmbedderSettings, deps: ChooseDeps): Embedder {
  const { call, warn, installed = offlineInstalled } = deps
  switch (settings.knowledge_embedder) {
    case 'hashing':
      return hashingEmbedder()
    case 'offline':
      if (installed()) return offlineEmbedder()
      warn('The offline embedder is not installed; knowledge is embedded by the built-in one')
      return hashingEmbedder()
    case 'provider': {
      if (call === undefined)
        throw new VestryError('EMBEDDER_UNAVAILABLE', 'There is no LLM gateway')
      const { knowledge_model: model, knowledge_dimension: dimension } = settings
      return providerEmbedder({ model, dimension, call })
    }
    default:
      throw settings.knowledge_embedder satisfies never
  }
}
