/** Google's row of the provider table. */
import type { ProviderRow } from '../table.ts'

export const GOOGLE_ROW: ProviderRow = {
  provider: 'google',
  prefixes: ['gemini', 'google/'],
  aliases: ['google', 'gemini'],
  apiKeyVariable: 'GOOGLE_API_KEY',
  baseUrlVariable: 'GOOGLE_BASE_URL',
  gatewayBaseUrl: 'http://gateway:8080/google',
  directBaseUrl: 'https://generativelanguage.googleapis.com',
}
