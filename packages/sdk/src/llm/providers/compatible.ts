/** Any server that speaks OpenAI's API (Ollama, vLLM, llama.cpp, a company's own), under a name of its own. */
import { openAiEmbeddings } from './openai/embeddings.ts'
import { readOpenAiError } from './openai/errors.ts'
import { compatibleChat } from './openai/request.ts'
import { readOpenAiChat } from './openai/response.ts'
import { OpenAiStream } from './openai/stream.ts'
import type { Provider } from './provider.ts'

export interface CompatibleSettings {
  /** Up to and including the version, e.g. `http://localhost:11434/v1`. */
  readonly baseUrl: string
  /** Default: `Authorization: Bearer`. */
  readonly auth?: Provider['auth']
  readonly headers?: Readonly<Record<string, string>>
  /** Prefixes of model names that mean this server. */
  readonly prefixes?: readonly string[]
  /** Texts in one embeddings call, 2048 unless given; false when the server has no embeddings. */
  readonly embeddings?: number | false
}

/** @param name The provider's id, as it stands in model references. */
export function compatible(name: string, settings: CompatibleSettings): Provider {
  const embeddings =
    settings.embeddings === false ? {} : { embeddings: openAiEmbeddings(settings.embeddings) }
  return {
    id: name,
    baseUrl: settings.baseUrl.replace(/\/+$/, ''),
    prefixes: settings.prefixes ?? [],
    auth: settings.auth ?? { header: 'authorization', prefix: 'Bearer ' },
    headers: settings.headers ?? {},
    chat: compatibleChat,
    readChat: readOpenAiChat,
    chatStream: (request, scope) => new OpenAiStream(name, request, scope),
    ...embeddings,
    readError: (status, headers, body) => readOpenAiError(name, status, headers, body),
  }
}
