/** Tools for tests, in the form that is analysed. */
import type { ToolDocument } from '../tool-document.ts'
import { NOTHING_KNOWN } from './analyse.ts'
import type { RuleExample, Surroundings } from './rule.ts'

/** Without a schema the tool takes nothing; without a provider it is `example-provider`'s. */
export function toolOf({ name, description, schema, provider }: RuleExample['tool']): ToolDocument {
  return {
    name,
    description,
    provider: {
      name: provider?.name ?? 'example-provider',
      public_key_url:
        provider?.public_key_url === undefined
          ? 'https://example.com/pubkey.pem'
          : provider.public_key_url,
    },
    schema: { type: 'object', properties: {}, required: [], ...schema },
  }
}

export function aroundOf({ around }: RuleExample): Surroundings {
  return { ...NOTHING_KNOWN, ...around }
}
