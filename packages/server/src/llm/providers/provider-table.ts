/** The providers of this gateway: the known ones, and those that operators added. */
import { compatible, openai, type Provider, providerOf } from '@vestry/sdk/llm/providers'
import { kindOf, type LlmSettings, type ProviderKind } from '../settings.ts'

export interface KnownProvider {
  readonly name: string
  /** Whose API it speaks. */
  readonly kind: ProviderKind
  readonly provider: Provider
  /** Without trailing slash. */
  readonly baseUrl: string
  /** Vault path of the key that serves everyone without one of their own; undefined: it asks for none. */
  readonly credential: string | undefined
  /** It has an entry in the configuration. */
  readonly configured: boolean
  /** The built-in stand-in answers, whatever else there is. */
  readonly mock: boolean
}

const BUILT_IN = ['openai', 'anthropic', 'google'] as const satisfies readonly ProviderKind[]

export class ProviderTable {
  readonly #known = new Map<string, KnownProvider>()

  constructor({ providers }: Pick<LlmSettings, 'providers'>) {
    for (const name of new Set([...BUILT_IN, ...Object.keys(providers)])) {
      const entry = providers[name]
      const kind = kindOf(name, entry)
      const provider = translationOf(name, kind, entry?.base_url)
      this.#known.set(name, {
        name,
        kind,
        provider,
        baseUrl: (entry?.base_url ?? provider.baseUrl).replace(/\/+$/, ''),
        credential: entry?.credential === false ? undefined : (entry?.credential ?? `llm/${name}`),
        configured: entry !== undefined,
        mock: kind === 'mock',
      })
    }
  }

  find(name: string): KnownProvider | undefined {
    return this.#known.get(name)
  }

  list(): readonly KnownProvider[] {
    return [...this.#known.values()]
  }
}

function translationOf(name: string, kind: ProviderKind, baseUrl: string | undefined): Provider {
  return providerOf(kind) ?? compatible(name, { baseUrl: baseUrl ?? openai.baseUrl })
}
