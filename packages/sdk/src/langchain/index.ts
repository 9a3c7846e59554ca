/**
 * The LangChain.js door of the SDK: the gateway's models as LangChain's. Needs `@langchain/core`, which
 * is an optional peer dependency.
 *
 * @module
 */
export {
  GatewayChatModel,
  type GatewayChatModelCallOptions,
  type GatewayChatModelFields,
} from './chat-model.ts'
export { GatewayEmbeddings, type GatewayEmbeddingsFields } from './embeddings.ts'
export type { LangChainSchema, StructuredConfig, StructuredResult } from './structured-output.ts'
