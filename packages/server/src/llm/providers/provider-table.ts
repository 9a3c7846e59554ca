/** The providers of this gateway: the known ones, and those that operators added. */
import { compatible, openai, type Provider, providerOf } from '@vestry/sdk/llm/providers'
import type { LlmSettings } from '../settings.ts'

export interface KnownProvider {
  readonly name: string
  /** Whose API it speaks. */
  readonly kind: Kind
  readonly provider: Provider
  /** Without trailing slash. */
  readonly baseUrl: string
  /** Vault path of the key that serves everyone without one of their own. */
  readonly credential: string
  /** It has an entry in the configuration. */
  readonly configured: boolean
  /** The built-in stand-in answers, whatever else there is. */
  readonly mock: boolean
}

type Kind = NonNullable<LlmSettings['providers'][string]['kind']>

const BUILT_IN = ['openai', 'anthropic', 'google'] as const satisfies readonly Kind[]

export class ProviderTable {
  readonly #known = new Map<string, KnownProvider>()

  constructor({ providers }: Pick<LlmSettings, 'providers'>) {
    for (const name of new Set([...BUILT_IN, ...Object.keys(providers)])) {
      const entry = providers[name]
      const provider = translationOf(name, entry?.kind, entry?.base_url)
      this.#known.set(name, {
        name,
        kind: entry?.kind ?? BUILT_IN.find((id) => id === name) ?? 'openai-compatible',
        provider,
        baseUrl: (entry?.base_url ?? provider.baseUrl).replace(/\/+$/, ''),
        credential: entry?.credential ?? `llm/${name}`,
        configured: entry !== undefined,
        mock: entry?.kind === 'mock',
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

function translationOf(
  name: string,
  kind: Kind | undefined,
  baseUrl: string | undefined,
): Provider {
  return providerOf(kind ?? name) ?? compatible(name, { baseUrl: baseUrl ?? openai.baseUrl })
}
