/**
 * The chat and embeddings shapes every caller speaks: OpenAI's, with the member names of the wire.
 * A request in these types has passed `checkChat`, so translators trust it.
 */

export type JsonObject = Record<string, unknown>

export interface TextPart {
  readonly type: 'text'
  readonly text: string
}

/** `url` is an https address or a data URI; nobody here ever fetches it. */
export interface ImagePart {
  readonly type: 'image_url'
  readonly image_url: { readonly url: string; readonly detail?: string }
}

/** A PDF: `file_data` is always a data URI `data:application/pdf;base64,…`. */
export interface FilePart {
  readonly type: 'file'
  readonly file: { readonly file_data: string; readonly filename: string }
}

export type ContentPart = TextPart | ImagePart | FilePart

export interface ToolCall {
  readonly id: string
  readonly type: 'function'
  /** `arguments` is the JSON text of an object. */
  readonly function: { readonly name: string; readonly arguments: string }
}

export interface SystemMessage {
  readonly role: 'system' | 'developer'
  readonly content: string | readonly TextPart[]
  readonly name?: string
}

export interface UserMessage {
  readonly role: 'user'
  readonly content: string | readonly ContentPart[]
  readonly name?: string
}

export interface AssistantMessage {
  readonly role: 'assistant'
  /** Text is `''` when there are only tool calls. */
  readonly content: string | readonly TextPart[]
  readonly name?: string
  readonly tool_calls?: readonly ToolCall[]
}

export interface ToolMessage {
  readonly role: 'tool'
  readonly tool_call_id: string
  readonly content: string | readonly ContentPart[]
}

export type ChatMessage = SystemMessage | UserMessage | AssistantMessage | ToolMessage

export interface Tool {
  readonly type: 'function'
  readonly function: {
    readonly name: string
    readonly description?: string
    /** JSON Schema of the arguments. */
    readonly parameters?: JsonObject
    readonly strict?: boolean
  }
}

export type ToolChoice =
  | 'auto'
  | 'none'
  | 'required'
  | { readonly type: 'function'; readonly function: { readonly name: string } }

export type ResponseFormat =
  | { readonly type: 'text' }
  | { readonly type: 'json_object' }
  | {
      readonly type: 'json_schema'
      readonly json_schema: {
        readonly name: string
        readonly description?: string
        readonly schema?: JsonObject
        readonly strict?: boolean
      }
    }

/** A checked request: an optional member that came as null is absent, `stop` is a list. */
export interface ChatRequest {
  readonly model: string
  readonly messages: readonly ChatMessage[]
  readonly temperature?: number
  readonly top_p?: number
  readonly max_tokens?: number
  readonly max_completion_tokens?: number
  readonly stop?: readonly string[]
  readonly seed?: number
  readonly n?: 1
  readonly response_format?: ResponseFormat
  readonly tools?: readonly Tool[]
  readonly tool_choice?: ToolChoice
  readonly parallel_tool_calls?: boolean
  readonly stream?: boolean
  readonly stream_options?: { readonly include_usage?: boolean }
  readonly presence_penalty?: number
  readonly frequency_penalty?: number
  readonly logit_bias?: Readonly<Record<string, number>>
  readonly logprobs?: boolean
  readonly top_logprobs?: number
  readonly user?: string
  readonly metadata?: Readonly<Record<string, string>>
  readonly store?: boolean
  readonly reasoning_effort?: string
}

/** Token counts, always integers. */
export interface Usage {
  readonly prompt_tokens: number
  readonly completion_tokens: number
  readonly total_tokens: number
  readonly prompt_tokens_details?: {
    readonly cached_tokens?: number
    /** Written to the provider's cache. */
    readonly cache_creation_tokens?: number
    readonly [name: string]: unknown
  }
  readonly completion_tokens_details?: {
    readonly reasoning_tokens?: number
    readonly [name: string]: unknown
  }
}

export type FinishReason = 'stop' | 'length' | 'tool_calls' | 'content_filter' | 'function_call'

export interface CompletionMessage {
  readonly role: 'assistant'
  /** Never null. */
  readonly content: string
  readonly tool_calls?: readonly ToolCall[]
  readonly [name: string]: unknown
}

export interface ChatCompletion {
  readonly id: string
  readonly object: 'chat.completion'
  /** Seconds since the epoch. */
  readonly created: number
  readonly model: string
  readonly choices: readonly {
    readonly index: number
    readonly message: CompletionMessage
    readonly finish_reason: FinishReason
    readonly [name: string]: unknown
  }[]
  readonly usage?: Usage
  readonly [name: string]: unknown
}

export interface ToolCallDelta {
  readonly index: number
  readonly id?: string
  readonly type?: 'function'
  readonly function?: { readonly name?: string; readonly arguments?: string }
}

export interface ChatChunk {
  readonly id: string
  readonly object: 'chat.completion.chunk'
  readonly created: number
  readonly model: string
  readonly choices: readonly {
    readonly index: number
    readonly delta: {
      readonly role?: 'assistant'
      readonly content?: string
      readonly tool_calls?: readonly ToolCallDelta[]
      readonly [name: string]: unknown
    }
    readonly finish_reason: FinishReason | null
    readonly [name: string]: unknown
  }[]
  readonly usage?: Usage | null
  readonly [name: string]: unknown
}

/** A checked embeddings request; `input` is a list, also for one text. */
export interface EmbeddingsRequest {
  readonly model: string
  readonly input: readonly string[]
  readonly dimensions?: number
  readonly encoding_format?: 'float'
  readonly user?: string
}
