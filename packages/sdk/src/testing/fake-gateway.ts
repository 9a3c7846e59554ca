/**
 * The LLM gateway in this process, on a real Unix socket: proves both tokens, holds the model to the
 * token's lists, and answers from a script.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { JsonObject } from '../llm/providers/chat-types.ts'
import { isObject, listOf, parseJson, textOf } from '../llm/providers/json.ts'
import { MODEL_CATEGORIES, ModelRef } from '../sage/model-ref.ts'
import { asyncDispose } from '../vault/async-dispose.ts'
import { MockEmbeddings } from './mock-embeddings.ts'
import { chunksOf, completionOf, type ScriptedAnswer } from './scripted-reply.ts'
import { bodyOf, listen, respond, respondError, type SocketServer } from './socket-server.ts'
import { TestIssuer } from './tokens.ts'

/** What the gateway answers once. */
export type GatewayReply = string | GatewayAnswer | ((request: GatewayRequest) => GatewayReply)

export interface GatewayAnswer extends ScriptedAnswer {
  /** An error instead of an answer. In a stream with `chunks`: an error event after them. */
  readonly error?: { readonly status: number; readonly code: string; readonly message?: string }
  readonly headers?: Readonly<Record<string, string>>
  /** Sent as it is, with status 200, instead of all else. */
  readonly body?: unknown
  /** A stream ends after its chunks, without a finish. */
  readonly cut?: boolean
  /** Milliseconds before the answer begins. */
  readonly delayMs?: number
  /** A stream falls silent after its chunks, until the client leaves. */
  readonly stall?: boolean
}

export interface GatewayRequest {
  readonly method: string
  readonly path: string
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: JsonObject
}

export interface FakeGatewayOptions {
  readonly socketPath: string
  readonly issuer?: TestIssuer
  readonly replies?: readonly GatewayReply[]
  /** Milliseconds since the epoch; decides which tokens have ended. */
  readonly now?: () => number
}

type Refusal = readonly [status: number, code: string, message: string]

export class FakeGateway {
  readonly socketPath: string
  readonly issuer: TestIssuer
  /** Every request that came, refused ones included. */
  readonly requests: GatewayRequest[] = []
  /** Answers still to give; when there are none left, the text `Mock response`. */
  readonly replies: GatewayReply[]
  /** Streams whose client left before their end. */
  abandoned = 0
  readonly #now: () => number
  readonly #embeddings = new MockEmbeddings()
  #server: SocketServer | undefined

  constructor({ socketPath, issuer, replies = [], now = Date.now }: FakeGatewayOptions) {
    this.socketPath = socketPath
    this.issuer = issuer ?? new TestIssuer()
    this.replies = [...replies]
    this.#now = now
  }

  async start(): Promise<this> {
    this.#server = await listen(this.socketPath, (request, response) => {
      this.#answer(request, response).catch(() => response.destroy())
    })
    return this
  }

  async close(): Promise<void> {
    await this.#server?.close()
  }

  async [asyncDispose](): Promise<void> {
    await this.close()
  }

  async #answer(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const text = await bodyOf(incoming)
    const { method = '', url: path = '' } = incoming
    if (path === '/health') return respond(response, 200, '{"status":"ok"}')
    const body = parseJson(text)
    const request: GatewayRequest = {
      method,
      path,
      headers: incoming.headers as Record<string, string>, // none of those that may repeat
      body: isObject(body) ? body : {},
    }
    this.requests.push(request)
    const refusal = this.#refusal(request)
    if (refusal !== undefined) return respondError(response, ...refusal)
    let reply: GatewayReply = this.replies.shift() ?? {}
    while (typeof reply === 'function') reply = reply(request)
    await this.#send(request, typeof reply === 'string' ? { text: reply } : reply, response)
  }

  /** What the gateway's wire says of a request that may not pass; undefined for one that may. */
  #refusal({ path, headers, body }: GatewayRequest): Refusal | undefined {
    const isEmbeddings = path === '/v1/embeddings'
    if (!isEmbeddings && path !== '/v1/chat/completions') {
      return [404, 'route_not_found', 'There is no such route.']
    }
    const bearer = headers['authorization']?.replace(/^Bearer /, '')
    if (bearer === undefined) return [401, 'identity_missing', 'There is no SVID.']
    const svid = this.issuer.verifySvid(bearer)
    if (svid === undefined) return [401, 'identity_invalid', 'The SVID is not valid.']
    if (this.#isOver(svid)) return [401, 'identity_expired', 'The SVID has expired.']
    const trat = this.issuer.verifyTrat(headers['txn-token'] ?? '')
    if (trat === undefined) return [401, 'txn_invalid', 'The transaction token is not valid.']
    if (this.#isOver(trat)) return [401, 'txn_expired', 'The transaction token has expired.']
    if (trat['req_wl'] !== svid['sub']) {
      return [403, 'identity_txn_mismatch', 'The tokens belong to different workloads.']
    }
    const asked = headers['x-sage-category']
    const categories = isEmbeddings ? ['embeddings'] : asked === undefined ? CHAT : [asked]
    if (!isEmbeddings && !categories.every((category) => CHAT.includes(category))) {
      return [403, 'category_not_allowed', 'There is no such category for chat.']
    }
    const ref = new ModelRef(headers['x-provider'] ?? 'openai', textOf(body['model']) ?? 'none')
    return allowed(trat, categories).includes(ref.toString())
      ? undefined
      : [403, 'model_not_allowed', `Model ${ref} is not permitted for this run.`]
  }

  #isOver({ exp }: JsonObject): boolean {
    return typeof exp !== 'number' || this.#now() >= exp * 1000
  }

  async #send(
    request: GatewayRequest,
    answer: GatewayAnswer,
    response: ServerResponse,
  ): Promise<void> {
    const { error, delayMs = 0, headers = {} } = answer
    if (delayMs > 0) await new Promise((resolve) => setTimeout(resolve, delayMs))
    const streams = request.body['stream'] === true
    if (error !== undefined && !(streams && answer.chunks !== undefined)) {
      const { status, code, message = 'The test says so.' } = error
      return respondError(response, status, code, message, headers)
    }
    if (answer.body !== undefined) {
      const text = typeof answer.body === 'string' ? answer.body : JSON.stringify(answer.body)
      return respond(response, 200, text, headers)
    }
    if (streams) return this.#stream(request, answer, response)
    const model = String(request.body['model'])
    const isEmbeddings = request.path === '/v1/embeddings'
    const body = isEmbeddings ? await this.#vectors(request.body) : completionOf(answer, model)
    respond(response, 200, JSON.stringify(body), headers)
  }

  async #stream(
    { body }: GatewayRequest,
    answer: GatewayAnswer,
    response: ServerResponse,
  ): Promise<void> {
    // Without a length and without chunks: the body ends with the connection.
    response.useChunkedEncodingByDefault = false
    response.writeHead(200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      connection: 'close',
    })
    response.once('close', () => {
      if (!response.writableEnded) this.abandoned += 1
    })
    const options = body['stream_options']
    const includeUsage = isObject(options) && options['include_usage'] === true
    const { error, cut, stall } = answer
    const breaks = error !== undefined || cut === true || stall === true
    for (const chunk of chunksOf(answer, String(body['model']), includeUsage)) {
      const isEnd = listOf(chunk['choices']).every(
        (one) => isObject(one) && one['finish_reason'] !== null,
      )
      if (breaks && isEnd) break
      response.write(`data: ${JSON.stringify(chunk)}\n\n`)
    }
    if (stall === true) return
    if (error !== undefined) {
      const { code, message = 'The test says so.' } = error
      response.write(`data: ${JSON.stringify({ error: { message, code } })}\n\n`)
    }
    response.end(breaks ? '' : 'data: [DONE]\n\n')
  }

  async #vectors(body: JsonObject): Promise<JsonObject> {
    const texts = listOf(body['input']).map(String)
    const vectors = await this.#embeddings.embedDocuments(texts)
    const data = vectors.map((embedding, index) => ({ object: 'embedding', index, embedding }))
    const tokens = texts.length
    const usage = { prompt_tokens: tokens, total_tokens: tokens }
    return { object: 'list', model: body['model'], data, usage }
  }
}

const CHAT: readonly string[] = MODEL_CATEGORIES.filter((category) => category !== 'embeddings')

function allowed(trat: JsonObject, categories: readonly string[]): string[] {
  const tctx = isObject(trat['tctx']) ? trat['tctx'] : {}
  const lists = isObject(tctx['allowed_models']) ? tctx['allowed_models'] : {}
  return categories.flatMap((category) => listOf(lists[category]).map(String))
}
