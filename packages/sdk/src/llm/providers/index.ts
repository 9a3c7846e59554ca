/**
 * Translation between OpenAI's shapes and the providers' own: pure functions, shared by the gateway and
 * by the SDK's direct mode. Nothing here opens a connection or holds a key.
 */
import { anthropic } from './anthropic/provider.ts'
import { google } from './google/provider.ts'
import { openai } from './openai/provider.ts'
import type { Provider } from './provider.ts'

export { readAnthropicStreamError } from './anthropic/errors.ts'
export { AnthropicUsageReader, anthropicUsage } from './anthropic/usage.ts'
export type {
  AssistantMessage,
  ChatChunk,
  ChatCompletion,
  ChatMessage,
  ChatRequest,
  CompletionMessage,
  ContentPart,
  EmbeddingsRequest,
  FilePart,
  FinishReason,
  ImagePart,
  JsonObject,
  ResponseFormat,
  SystemMessage,
  TextPart,
  Tool,
  ToolCall,
  ToolCallDelta,
  ToolChoice,
  ToolMessage,
  Usage,
  UserMessage,
} from './chat-types.ts'
export { checkChat, modelName } from './check-chat.ts'
export { checkEmbeddings } from './check-embeddings.ts'
export { type CompatibleSettings, compatible } from './compatible.ts'
export { FAULTS, type FaultCode, type FaultDetails, ProviderFault } from './fault.ts'
export type {
  CallScope,
  ChatStream,
  EmbeddingsTranslation,
  Outgoing,
  Provider,
  SseEvent,
} from './provider.ts'
export { SseParser } from './sse.ts'
export {
  canonicalModel,
  DEFAULT_PROVIDER,
  detectProvider,
  PROVIDERS,
  type ProviderRow,
  parseModelRef,
  rowOf,
} from './table.ts'
export { anthropic, google, openai }

/** The providers with a translation of their own, in the order of the table. */
export const TRANSLATIONS: readonly Provider[] = [openai, anthropic, google]

/** @returns Undefined for a provider that is neither built in nor made with {@link compatible}. */
export function providerOf(id: string): Provider | undefined {
  return TRANSLATIONS.find((provider) => provider.id === id)
}
