/** The parts of the OpenAI Agents SDK that the adapter reads and implements, as they look from outside. */

export interface TraceLike {
  readonly traceId: string
  readonly name: string
  readonly groupId?: string | null
  readonly metadata?: Record<string, unknown> | undefined
}

export interface SpanLike {
  readonly spanId: string
  readonly traceId: string
  readonly parentId: string | null
  readonly startedAt: string | null
  readonly endedAt: string | null
  readonly error: { readonly message: string; readonly data?: Record<string, unknown> } | null
  readonly spanData: { readonly type: string }
}

/** What `addTraceProcessor` takes. */
export interface TracingProcessorLike {
  start(): void
  onTraceStart(trace: TraceLike): Promise<void>
  onTraceEnd(trace: TraceLike): Promise<void>
  onSpanStart(span: SpanLike): Promise<void>
  onSpanEnd(span: SpanLike): Promise<void>
  shutdown(timeout?: number): Promise<void>
  forceFlush(): Promise<void>
}
