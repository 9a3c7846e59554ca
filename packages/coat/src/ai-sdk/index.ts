/** The adapter for the Vercel AI SDK: wrappers for models, tools and the functions that generate. */
export type { AdapterOptions } from '../adapters/options.ts'
export { coatGenerate, type GenerateOptions } from './generate.ts'
export { type CoatMiddleware, coatMiddleware, coatModel } from './model.ts'
export { coatEmbeddingModel, coatRerankingModel } from './other-models.ts'
export { coatTools } from './tools.ts'
