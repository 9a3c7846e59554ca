/** Language models of the AI SDK, wrapped: each call is told as a request and a response. */
import { whenAbandoned } from '../adapters/abandoned.ts'
import { type AdapterOptions, captureChoice } from '../adapters/options.ts'
import { failure } from '../adapters/outcome.ts'
import { quietly } from '../adapters/quietly.ts'
import { fields, present } from '../adapters/shapes.ts'
import { wrapped } from '../adapters/wrapped.ts'
import { type Span, startSpan } from '../span.ts'
import { aiSdk } from './framework.ts'
import { generationOf, type ModelName, type Reply, reply, request } from './generations.ts'
import { observedStream } from './observed-stream.ts'
import { activeSteps, type Steps } from './open-steps.ts'
import { StreamFigures } from './stream-figures.ts'

export interface CoatMiddleware {
  readonly specificationVersion: 'v4'
  wrapGenerate<Result>(call: {
    doGenerate: () => PromiseLike<Result>
    params: unknown
    model: unknown
  }): Promise<Result>
  wrapStream<Result>(call: {
    doStream: () => PromiseLike<Result>
    params: unknown
    model: unknown
  }): Promise<Result>
}

/** For those who wrap models with the AI SDK's own `wrapLanguageModel`. */
export function coatMiddleware(options: AdapterOptions = {}): CoatMiddleware {
  // Finds the version now, not while a model is being called.
  aiSdk()
  return {
    specificationVersion: 'v4',
    wrapGenerate: ({ doGenerate, params, model }) => generate(doGenerate, params, model, options),
    wrapStream: ({ doStream, params, model }) => stream(doStream, params, model, options),
  }
}

/**
 * The same model, of the same generation of the specification, with its calls told.
 *
 * @throws TypeError for the id of a model instead of the model: `gateway(id)` makes one of it.
 */
export function coatModel<Model extends object>(model: Model, options: AdapterOptions = {}): Model {
  const asked = model as { doGenerate?: unknown; doStream?: unknown } | null | undefined
  const { doGenerate, doStream } = typeof asked === 'object' && asked !== null ? asked : {}
  if (typeof doGenerate !== 'function' || typeof doStream !== 'function') {
    throw new TypeError(
      'coatModel takes a language model of the AI SDK; for the id of one, pass gateway(id)',
    )
  }
  const { wrapGenerate, wrapStream } = coatMiddleware(options)
  return wrapped(
    model,
    new Map([
      [
        'doGenerate',
        (params: unknown) =>
          wrapGenerate({ doGenerate: () => doGenerate.call(model, params), params, model }),
      ],
      [
        'doStream',
        (params: unknown) =>
          wrapStream({ doStream: () => doStream.call(model, params), params, model }),
      ],
    ]),
  )
}

async function generate<Result>(
  doGenerate: () => PromiseLike<Result>,
  params: unknown,
  model: unknown,
  options: AdapterOptions,
): Promise<Result> {
  const call = quietly(() => new Call(params, model, options, false))
  if (call === undefined) return doGenerate()
  let result: Result
  try {
    result = await call.span.run(doGenerate)
  } catch (error) {
    call.fail(error)
    throw error
  }
  call.answer(result)
  return result
}

async function stream<Result>(
  doStream: () => PromiseLike<Result>,
  params: unknown,
  model: unknown,
  options: AdapterOptions,
): Promise<Result> {
  const call = quietly(() => new Call(params, model, options, true))
  if (call === undefined) return doStream()
  let result: Result
  try {
    result = await call.span.run(doStream)
  } catch (error) {
    call.fail(error)
    throw error
  }
  return call.pass(result)
}

/** One call of a model, from its request to the end of its answer. */
class Call {
  readonly span: Span
  readonly #name: ModelName
  readonly #generation: ReturnType<typeof generationOf>
  readonly #signal: unknown
  readonly #steps: Steps | undefined
  readonly #figures: StreamFigures

  constructor(params: unknown, model: unknown, options: AdapterOptions, streams: boolean) {
    const told = model as { provider?: unknown; modelId?: unknown; specificationVersion?: unknown }
    this.#name = { provider: String(told.provider ?? ''), modelId: String(told.modelId ?? '') }
    this.#generation = generationOf(told.specificationVersion)
    this.#signal = fields(params)?.['abortSignal']
    this.#steps = activeSteps()
    const { payload, messages } = request(this.#generation, this.#name, params)
    this.span = startSpan({
      op: 'llm',
      fn: streams ? 'doStream' : 'doGenerate',
      payload: streams
        ? { ...payload, params: { ...fields(payload['params']), stream: true } }
        : payload,
      captured: { preview: { args: [messages] } },
      parent: this.#steps?.parentOfModel(),
      framework: aiSdk(),
      capture: captureChoice(options),
    })
    this.#figures = new StreamFigures(this.#generation, this.#name)
  }

  answer(result: unknown): void {
    quietly(() => this.#end(reply(this.#generation, this.#name, result)))
  }

  fail(error: unknown): void {
    quietly(() => {
      const status = failure(error, this.#signal)
      this.span.end({ status, error, payload: this.#told() })
      this.#steps?.modelFailed(error)
    })
  }

  /** The result with a stream that is watched; as it came where it has none. */
  pass<Result>(result: Result): Result {
    const source = quietly(() => fields(result)?.['stream'])
    if (!(source instanceof ReadableStream)) {
      this.answer(result)
      return result
    }
    const figures = this.#figures
    const watched = observedStream<unknown>(source, {
      part: (part) => quietly(() => figures.part(part)),
      done: () => this.#done(),
      failed: (error) => this.fail(error),
      cancelled: () => quietly(() => this.span.end({ status: 'cancelled', payload: this.#told() })),
      run: (fn) => this.span.run(fn),
    })
    whenAbandoned(watched, () => this.#abandon())
    return { ...result, stream: watched }
  }

  #abandon(): void {
    if (this.span.ended) return
    this.span.end({ status: 'abandoned', payload: this.#told() })
    // Without its model the run goes nowhere, either.
    this.#steps?.abandon()
  }

  #done(): void {
    quietly(() => {
      const failed = this.#figures.error
      if (failed !== undefined) this.fail(failed.error)
      else this.#end(this.#figures.reply())
    })
  }

  #end({ payload, usage, content }: Reply): void {
    this.span.end({
      status: 'ok',
      payload: present({ ...payload, usage }),
      captured: { preview: { result: content } },
    })
  }

  /** What was there when it ended early. */
  #told(): Record<string, unknown> {
    const { payload, usage } = this.#figures.reply()
    if (payload['chunks'] === 0) delete payload['chunks']
    return present({ ...payload, usage })
  }
}
