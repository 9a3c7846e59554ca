/** Google's Gemini API. */
import type { Provider } from '../provider.ts'
import { googleEmbeddings } from './embeddings.ts'
import { readGoogleError } from './errors.ts'
import { googleChat } from './request.ts'
import { readGoogleChat } from './response.ts'
import { GOOGLE_ROW } from './row.ts'
import { GoogleStream } from './stream.ts'

export const google: Provider = {
  id: GOOGLE_ROW.provider,
  baseUrl: GOOGLE_ROW.directBaseUrl,
  prefixes: GOOGLE_ROW.prefixes,
  auth: { header: 'x-goog-api-key', prefix: '' },
  headers: {},
  chat: googleChat,
  readChat: readGoogleChat,
  chatStream: (request, scope) => new GoogleStream(GOOGLE_ROW.provider, request, scope),
  embeddings: googleEmbeddings,
  readError: (status, headers, body) => readGoogleError(GOOGLE_ROW.provider, status, headers, body),
}
