/** Anthropic's Messages API. */
import type { Provider } from '../provider.ts'
import { readAnthropicError } from './errors.ts'
import { anthropicChat } from './request.ts'
import { readAnthropicChat } from './response.ts'
import { ANTHROPIC_ROW } from './row.ts'
import { AnthropicStream } from './stream.ts'

export const anthropic: Provider = {
  id: ANTHROPIC_ROW.provider,
  baseUrl: ANTHROPIC_ROW.directBaseUrl,
  prefixes: ANTHROPIC_ROW.prefixes,
  auth: { header: 'x-api-key', prefix: '' },
  headers: { 'anthropic-version': '2023-06-01' },
  chat: anthropicChat,
  readChat: readAnthropicChat,
  chatStream: (request, scope) => new AnthropicStream(ANTHROPIC_ROW.provider, request, scope),
  readError: (status, headers, body) =>
    readAnthropicError(ANTHROPIC_ROW.provider, status, headers, body),
}
