/** What the pieces of a streamed answer tell together. Of their content only the lengths pass by. */
import { dataMember } from '../capture/intrinsics.ts'
import { anyField, field, identifier, isList, isRecord, items, present } from './reading.ts'
import { reasons, recogniseResponse, type ToolCall, toolCalls, vercelReason } from './response.ts'
import { recogniseUsage, type Usage } from './usage.ts'

export interface StreamRecogniser {
  /** Never throws. */
  chunk(value: unknown): void
  /** Members of `agent.llm.response`. */
  result(): Record<string, unknown>
  /** Has a piece of the answer itself come? What comes before it is only announced. */
  readonly hasContent: boolean
}

const MAX_CALLS = 128

export function newStreamRecogniser(): StreamRecogniser {
  return new Recogniser()
}

class Recogniser implements StreamRecogniser {
  #facts: Record<string, unknown> = {}
  /** As the provider counts; pieces that come later complete or replace earlier counts. */
  #counts: Record<string, unknown> | undefined
  #calls = new Map<string, readonly [unknown, unknown]>()
  #hasContent = false

  get hasContent(): boolean {
    return this.#hasContent
  }

  chunk(value: unknown): void {
    try {
      if (isRecord(value)) this.#chunk(value)
    } catch {
      // A piece that cannot be read tells nothing.
    }
  }

  result(): Record<string, unknown> {
    const calls = toolCalls([...this.#calls.values()])
    return present({
      tool_calls: calls,
      usage: recogniseUsage(this.#counts),
      ...this.#facts,
    })
  }

  #chunk(chunk: object): void {
    if (isList(field(chunk, 'choices'))) this.#openaiChat(chunk)
    else if (isList(field(chunk, 'candidates'))) this.#google(chunk)
    else if (isRecord(field(chunk, 'response_metadata'))) this.#langchain(chunk)
    else {
      const type = field(chunk, 'type')
      if (typeof type === 'string') this.#event(type, chunk)
    }
  }

  #event(type: string, event: object): void {
    if (type.startsWith('response.')) this.#openaiResponse(type, event)
    else if (type.startsWith('message_') || type.startsWith('content_block_'))
      this.#anthropic(type, event)
    else this.#vercel(type, event)
  }

  #openaiChat(chunk: object): void {
    this.#learn({ response_model: field(chunk, 'model'), response_id: field(chunk, 'id') })
    for (const choice of items(field(chunk, 'choices'), 32)) {
      this.#finish(field(choice, 'finish_reason'))
      const delta = field(choice, 'delta')
      if (nonEmpty(anyField(delta, 'content', 'refusal', 'reasoning_content'))) this.#content()
      for (const call of items(field(delta, 'tool_calls'), MAX_CALLS)) {
        this.#content()
        const index = `${String(field(choice, 'index'))}.${String(field(call, 'index'))}`
        this.#call(index, field(call, 'id'), field(field(call, 'function'), 'name'))
      }
    }
    this.#count(field(chunk, 'usage'))
  }

  /** The last event holds the whole answer. */
  #openaiResponse(type: string, event: object): void {
    if (type.endsWith('.delta')) this.#content()
    const response = field(event, 'response')
    if (!isRecord(response)) return
    if (/\.(?:completed|incomplete|failed)$/.test(type)) {
      this.#facts = { ...this.#facts, ...recogniseResponse(response) }
      return
    }
    this.#learn({ response_model: field(response, 'model'), response_id: field(response, 'id') })
  }

  #anthropic(type: string, event: object): void {
    if (type === 'message_start') {
      const message = field(event, 'message')
      this.#learn({ response_model: field(message, 'model'), response_id: field(message, 'id') })
      this.#count(field(message, 'usage'))
    } else if (type === 'message_delta') {
      this.#finish(field(field(event, 'delta'), 'stop_reason'))
      this.#count(field(event, 'usage'))
    } else if (type === 'content_block_delta') this.#content()
    else if (type === 'content_block_start') {
      const block = field(event, 'content_block')
      if (field(block, 'type') !== 'tool_use') return
      this.#content()
      this.#call(String(field(event, 'index')), field(block, 'id'), field(block, 'name'))
    }
  }

  #google(chunk: object): void {
    const { usage, tool_calls, finish_reasons, ...facts } = recogniseResponse(chunk)
    Object.assign(this.#facts, facts)
    if (finish_reasons !== undefined) this.#facts['finish_reasons'] = finish_reasons
    const parts = items(field(chunk, 'candidates'), 32).flatMap((candidate) =>
      items(field(field(candidate, 'content'), 'parts')),
    )
    if (parts.length > 0) this.#content()
    for (const { id, name } of (tool_calls ?? []) as ToolCall[])
      this.#call(`${this.#calls.size}`, id, name)
    if (usage !== undefined) this.#count(field(chunk, 'usageMetadata'))
  }

  #vercel(type: string, part: object): void {
    if (/^(?:text|reasoning|tool-input)-(?:delta|start)$|^(?:text|reasoning)$/.test(type)) {
      if (!type.endsWith('-start')) this.#content()
    } else if (type === 'tool-call') {
      this.#content()
      const id = field(part, 'toolCallId')
      this.#call(String(id), id, field(part, 'toolName'))
    } else if (type === 'response-metadata') {
      this.#learn({ response_model: field(part, 'modelId'), response_id: field(part, 'id') })
    } else if (type === 'finish' || type === 'finish-step') {
      this.#finish(vercelReason(field(part, 'finishReason')))
      const response = field(part, 'response')
      this.#learn({
        response_model: field(response, 'modelId'),
        response_id: field(response, 'id'),
      })
      this.#count(anyField(part, 'totalUsage', 'usage'))
    }
  }

  /** Counts come in pieces that are to be added. */
  #langchain(chunk: object): void {
    const facts = recogniseResponse(chunk)
    const metadata = field(chunk, 'response_metadata')
    this.#learn({ response_model: facts['response_model'], response_id: facts['response_id'] })
    this.#finish(anyField(metadata, 'finish_reason', 'stop_reason', 'finishReason'))
    if (nonEmpty(field(chunk, 'content'))) this.#content()
    for (const call of items(field(chunk, 'tool_call_chunks'), MAX_CALLS)) {
      this.#content()
      this.#call(String(field(call, 'index')), field(call, 'id'), field(call, 'name'))
    }
    const usage = facts['usage'] as Usage | undefined
    if (usage === undefined) return
    const sum: Record<string, number> = { ...(this.#facts['usage'] as Usage | undefined) }
    for (const [name, count] of Object.entries(usage)) sum[name] = (sum[name] ?? 0) + count
    this.#facts['usage'] = sum
  }

  #content(): void {
    this.#hasContent = true
  }

  #learn(facts: Record<string, unknown>): void {
    for (const [name, value] of Object.entries(facts)) {
      const known = identifier(value)
      if (known !== undefined) this.#facts[name] ??= known
    }
  }

  #finish(reason: unknown): void {
    const found = reasons([reason])
    if (found !== undefined) this.#facts['finish_reasons'] = found
  }

  #call(index: string, id: unknown, name: unknown): void {
    if (this.#calls.size >= MAX_CALLS && !this.#calls.has(index)) return
    const before = this.#calls.get(index)
    // The first piece of a call names it, later ones bring more of its arguments.
    this.#calls.set(index, [before?.[0] ?? id, before?.[1] ?? name])
  }

  /** Members that are told later replace those told before; the others stay. */
  #count(usage: unknown): void {
    if (!isRecord(usage)) return
    const counts: Record<string, unknown> = { ...this.#counts }
    for (const name of Object.keys(usage)) {
      const value = dataMember(usage, name)
      if (value !== null && value !== undefined) counts[name] = value
    }
    this.#counts = counts
  }
}

function nonEmpty(value: unknown): boolean {
  return typeof value === 'string' ? value !== '' : isList(value) && value.length > 0
}
