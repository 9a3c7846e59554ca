/** Anthropic's row of the provider table. */
import type { ProviderRow } from '../table.ts'

export const ANTHROPIC_ROW: ProviderRow = {
  provider: 'anthropic',
  prefixes: ['claude', 'anthropic/'],
  aliases: ['anthropic'],
  apiKeyVariable: 'ANTHROPIC_API_KEY',
  baseUrlVariable: 'ANTHROPIC_BASE_URL',
  gatewayBaseUrl: 'http://gateway:8080/anthropic',
  directBaseUrl: 'https://api.anthropic.com',
}
