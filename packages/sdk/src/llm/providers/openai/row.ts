/** OpenAI's row of the provider table. No prefixes: a name that nobody else claims is OpenAI's. */
import type { ProviderRow } from '../table.ts'

export const OPENAI_ROW: ProviderRow = {
  provider: 'openai',
  prefixes: [],
  aliases: ['openai'],
  apiKeyVariable: 'OPENAI_API_KEY',
  baseUrlVariable: 'OPENAI_BASE_URL',
  gatewayBaseUrl: 'http://gateway:8080/v1',
  directBaseUrl: 'https://api.openai.com/v1',
}
