/**
 * The model door of the SDK: chat and embeddings, through the gateway or, where that is allowed,
 * directly. Loading it opens nothing and loads no network module.
 *
 * @module
 */
export type { ChatAnswer } from './answer.ts'
export {
  type BatchOptions,
  type BindToolsOptions,
  type ChatModel,
  createLlmForGateway,
  GatewayChatModel,
  type GatewayChatModelOptions,
} from './chat-model.ts'
export type { ChatOptions, ChatParameters } from './chat-options.ts'
export {
  type ChatDelta,
  ChatStream,
  type ChatStreamSource,
  type ToolCallFragment,
} from './chat-stream.ts'
export type { ContentBlock, FileBlock, ImageBlock, TextBlock } from './content.ts'
export {
  type EmbeddingsModel,
  type EmbedOptions,
  GatewayEmbeddings,
  type GatewayEmbeddingsOptions,
} from './embeddings.ts'
export type {
  AssistantMessage,
  ChatInput,
  ChatMessage,
  Content,
  InvalidToolCall,
  SystemMessage,
  ToolCall,
  ToolMessage,
  UserMessage,
} from './messages.ts'
export type {
  JsonSchema,
  StandardIssue,
  StandardResult,
  StandardSchema,
} from './standard-schema.ts'
export { strictSchema } from './strict-schema.ts'
export type { RawAndParsed, StructuredModel, StructuredOptions } from './structured-output.ts'
export type { OpenAiTool, ToolChoice, ToolDefinition } from './tools.ts'
export { type Usage, type UsageEntry, UsageLedger } from './usage-ledger.ts'
