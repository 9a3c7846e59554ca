/**
 * One run of the AI SDK with its steps. The SDK tells of them through callbacks and through telemetry
 * integrations, depending on its version: both lead here, and what is told twice counts once.
 */

import { clock } from '../adapters/clock.ts'
import type { AdapterOptions } from '../adapters/options.ts'
import { captureChoice } from '../adapters/options.ts'
import { failure } from '../adapters/outcome.ts'
import { quietly } from '../adapters/quietly.ts'
import { type Fields, fields, figure, list, present, text } from '../adapters/shapes.ts'
import type { Ids, Status } from '../aot.ts'
import { recogniseUsage } from '../recognise/index.ts'
import { type Span, startSpan } from '../span.ts'
import { aiSdk } from './framework.ts'
import { toolCall } from './generations.ts'
import { closeSteps, openSteps, type Steps } from './open-steps.ts'

interface Step {
  readonly span: Span
  readonly number: number
}

export class RunWatch implements Steps {
  readonly span: Span
  readonly #options: AdapterOptions
  readonly #signal: unknown
  /** Whether the SDK tells of steps at all; without it the run has none. */
  readonly #stepped: boolean
  #step: Step | undefined
  #steps = 0
  #lastStepEndMs: number
  #ended = false
  /** Heard from a telemetry integration, which also tells what goes wrong in a stream. */
  #integrated = false

  constructor(fn: string, asked: Fields | undefined, options: AdapterOptions) {
    this.#options = options
    this.#signal = asked?.['abortSignal']
    this.#stepped = asked !== undefined
    this.#lastStepEndMs = clock.wallMs()
    this.span = startSpan({
      op: 'run',
      fn,
      captured: { preview: { args: asked === undefined ? [] : [prompt(asked)] } },
      framework: aiSdk(),
      capture: captureChoice(options),
    })
    openSteps(this.span.ids, this)
  }

  get ended(): boolean {
    return this.#ended
  }

  get steps(): number {
    return this.#steps
  }

  parentOfModel(): Ids | undefined {
    if (this.#stepped && this.#step === undefined && !this.#ended) this.#begin()
    return this.#step?.span.ids ?? this.span.ids
  }

  parentOfTool(): Ids | undefined {
    return this.#step?.span.ids ?? this.span.ids
  }

  /** Where nothing else tells that a stream broke off, its model does. */
  modelFailed(error: unknown): void {
    if (!this.#streaming || this.#integrated) return
    this.fail(error)
  }

  #streaming = false

  /** The run goes on after the function returned. */
  streams(): void {
    this.#streaming = true
  }

  heardIntegration(): void {
    this.#integrated = true
  }

  stepStarted(number: unknown): void {
    quietly(() => {
      if (this.#ended || this.#step !== undefined) return
      if (typeof number === 'number' && number < this.#steps) return
      this.#begin()
    })
  }

  stepEnded(value: unknown): void {
    quietly(() => {
      if (this.#ended) return
      const told = fields(value)
      const number = figure(told?.['stepNumber'])
      if (number !== undefined && number < this.#steps && this.#step?.number !== number) return
      // Told only now: then it began where the one before it ended.
      const step = this.#step ?? this.#begin(this.#lastStepEndMs)
      this.#step = undefined
      this.#lastStepEndMs = clock.wallMs()
      step.span.end({
        status: 'ok',
        payload: present({
          finish_reason: text(told?.['finishReason']),
          tool_calls: calls(told),
        }),
        captured: { preview: { result: text(told?.['text']) ?? told?.['content'] } },
      })
    })
  }

  stepFailed(error: unknown): void {
    quietly(() => {
      const step = this.#step
      this.#step = undefined
      step?.span.end({ status: failure(error, this.#signal), error })
    })
  }

  done(result: unknown): void {
    quietly(() => {
      const told = fields(result)
      const usage = recogniseUsage(told?.['totalUsage'] ?? told?.['usage'])
      this.#close('ok', {
        payload: present({
          turns: this.#steps > 0 ? this.#steps : undefined,
          totals:
            usage === undefined
              ? undefined
              : present({ input_tokens: usage.input, output_tokens: usage.output }),
        }),
        captured: { preview: { result: text(told?.['text']) ?? told?.['object'] } },
      })
    })
  }

  fail(error: unknown): void {
    quietly(() => this.#close(failure(error, this.#signal), { error }))
  }

  cancel(): void {
    quietly(() => this.#close('cancelled', {}))
  }

  /** Nobody reads what it generates, or too many others were begun since. */
  abandon(): void {
    quietly(() => this.#close('abandoned', {}))
  }

  #begin(tsMs?: number): Step {
    const number = this.#steps
    this.#steps += 1
    const span = startSpan({
      op: 'step',
      fn: `step ${number}`,
      payload: { step_kind: 'turn' },
      captured: { preview: { args: [] } },
      parent: this.span.ids,
      framework: aiSdk(),
      capture: captureChoice(this.#options),
      tsMs,
    })
    this.#step = { span, number }
    return this.#step
  }

  #close(
    status: Status,
    end: {
      error?: unknown
      payload?: Record<string, unknown>
      captured?: Record<string, unknown>
    },
  ): void {
    if (this.#ended) return
    this.#ended = true
    closeSteps(this.span.ids)
    const step = this.#step
    this.#step = undefined
    step?.span.end({ status, ...(end.error !== undefined && { error: end.error }) })
    const turns = this.#steps > 0 ? { turns: this.#steps } : {}
    this.span.end({ status, ...end, payload: { ...turns, ...end.payload } })
  }
}

function prompt(asked: Fields): unknown {
  return present({
    system: asked['system'] ?? asked['instructions'],
    prompt: asked['prompt'],
    messages: asked['messages'],
  })
}

function calls(step: Fields | undefined): Record<string, unknown>[] | undefined {
  const parts = list(step?.['content']).flatMap(toolCall)
  const told = parts.length > 0 ? parts : list(step?.['toolCalls']).flatMap(asCall)
  return told.length > 0 ? told : undefined
}

function asCall(call: unknown): Record<string, unknown>[] {
  return toolCall({ ...fields(call), type: 'tool-call' })
}
