/** A model of the OpenAI Agents SDK that answers what it was told to, with spans as real models make them. */
import {
  type AgentOutputItem,
  createResponseSpan,
  type Model,
  type ModelRequest,
  type ModelResponse,
  resetCurrentSpan,
  type StreamEvent,
  setCurrentSpan,
  Usage,
  withGenerationSpan,
  withResponseSpan,
} from '@openai/agents-core'

export interface Step {
  readonly output: AgentOutputItem[]
  readonly used: readonly [input: number, output: number, cached?: number]
}

type ResponseDone = Extract<StreamEvent, { type: 'response_done' }>['response']

export type Answer = Step | Error | ((request: ModelRequest) => Promise<Step>)

let made = 0

/** @param api Which of the two span types tells of a call. */
export class ScriptedModel implements Model {
  readonly #script: Answer[]
  readonly #api: 'generation' | 'response'

  constructor(script: Answer[], api: 'generation' | 'response' = 'response') {
    this.#script = [...script]
    this.#api = api
  }

  async getResponse(request: ModelRequest): Promise<ModelResponse> {
    if (this.#api === 'generation') {
      return withGenerationSpan(
        async (span) => {
          const step = await this.#next(request)
          span.spanData.usage = { input_tokens: step.used[0], output_tokens: step.used[1] }
          return answered(step, undefined)
        },
        { data: { model: 'local-1', model_config: { temperature: 0.5 } } },
      )
    }
    return withResponseSpan(async (span) => {
      const step = await this.#next(request)
      const id = `resp_${++made}`
      Object.assign(span.spanData, { response_id: id, _input: request.input })
      Object.assign(span.spanData, { _response: raw(id, step) })
      return answered(step, id)
    })
  }

  async *getStreamedResponse(request: ModelRequest): AsyncIterable<StreamEvent> {
    const span = createResponseSpan()
    span.start()
    setCurrentSpan(span)
    try {
      const step = await this.#next(request)
      const id = `resp_${++made}`
      yield { type: 'response_started' }
      yield { type: 'output_text_delta', delta: 'x' }
      Object.assign(span.spanData, { response_id: id, _response: raw(id, step) })
      const { inputTokens, outputTokens, totalTokens } = answered(step, id).usage
      // The items of an answer are events' items as well; the types of the two differ in details only.
      const output = step.output as ResponseDone['output']
      yield {
        type: 'response_done',
        response: { id, usage: { inputTokens, outputTokens, totalTokens }, output },
      }
    } finally {
      span.end()
      resetCurrentSpan()
    }
  }

  async #next(request: ModelRequest): Promise<Step> {
    const answer = this.#script.shift()
    if (answer === undefined) throw new Error('the script is over')
    if (answer instanceof Error) throw answer
    return typeof answer === 'function' ? answer(request) : answer
  }
}

function answered(step: Step, responseId: string | undefined): ModelResponse {
  const [input, output, cached = 0] = step.used
  return {
    usage: new Usage({
      requests: 1,
      inputTokens: input,
      outputTokens: output,
      totalTokens: input + output,
      inputTokensDetails: { cached_tokens: cached },
    }),
    output: step.output,
    ...(responseId !== undefined && { responseId }),
  }
}

function raw(id: string, { used: [input, output, cached = 0], output: items }: Step) {
  return {
    id,
    model: 'gpt-5-2026-01',
    output: items.map((item) =>
      item.type === 'function_call' ? { ...item, call_id: item.callId } : item,
    ),
    usage: {
      input_tokens: input,
      output_tokens: output,
      total_tokens: input + output,
      input_tokens_details: { cached_tokens: cached },
      output_tokens_details: { reasoning_tokens: 1 },
    },
  }
}

export function says(text: string, used: Step['used']): Step {
  return {
    used,
    output: [
      {
        type: 'message',
        role: 'assistant',
        id: `msg_${made}`,
        status: 'completed',
        content: [{ type: 'output_text', text }],
      },
    ],
  }
}

export function calls(used: Step['used'], ...tools: [name: string, args?: object][]): Step {
  return {
    used,
    output: tools.map(([name, args], index) => ({
      type: 'function_call',
      callId: `call_${made}_${name}_${index}`,
      name,
      arguments: JSON.stringify(args ?? {}),
      status: 'completed',
    })),
  }
}
