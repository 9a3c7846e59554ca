/** A sink that remembers what it was given, as JSON, in place of the one that writes it out. */
import type { Ids } from './aot.ts'
import { configure, install, reset } from './runtime.ts'
import type { Configuration } from './settings.ts'
import type { Draft, Part, Sink } from './transport/sink.ts'

export interface Recorded {
  readonly kind: string
  readonly part: Part
  readonly ids: Ids
  readonly mode: string
  readonly framework: Draft['framework']
  readonly tsMs: number | undefined
  readonly payload: Readonly<Record<string, unknown>> & {
    readonly preview?: {
      readonly args?: unknown
      readonly kwargs?: unknown
      readonly result?: unknown
      readonly yields?: unknown
      readonly this?: unknown
    }
    readonly error?: { readonly type?: string; readonly message?: string }
  }
}

export interface Recorder {
  readonly events: Recorded[]
  /** Kinds in order. */
  kinds(): string[]
  /** The only event of a part; throws when there is none, or another. */
  only(part: Part): Recorded
  /** Starts and ends by span, in order of their starts. */
  spans(): { start: Recorded; end: Recorded | undefined }[]
  /** All of it, for looking for what must not be there. */
  text(): string
}

/** Begins anew with another environment and other settings, and remembers from now on. */
export function record(
  env: Readonly<Record<string, string>> = {},
  configuration: Configuration = {},
): Recorder {
  const events: Recorded[] = []
  const sink: Sink = {
    emit({ kind, ids, capture, framework, tsMs, payload }, part) {
      const written = JSON.parse(JSON.stringify({ kind, ids, payload })) as Pick<
        Recorded,
        'kind' | 'ids' | 'payload'
      >
      events.push({ ...written, part, mode: capture.mode, framework, tsMs })
    },
    flush: async () => true,
    shutdown: async () => {},
    stats: () => ({
      emitted: events.length,
      written: events.length,
      acked: 0,
      dropped: { lifecycle: 0, detail: 0 },
      transport: 'off',
      reconnects: 0,
      queueHighWater: 0,
    }),
  }
  reset({ ENVPOD_COAT_TRANSPORT: 'off', ...env })
  configure(configuration)
  install({ sink })
  return {
    events,
    kinds: () => events.map(({ kind }) => kind),
    only(part) {
      const found = events.filter((event) => event.part === part)
      if (found.length !== 1 || found[0] === undefined)
        throw new Error(`${found.length} events are a ${part}`)
      return found[0]
    },
    spans: () =>
      events
        .filter(({ part }) => part === 'start')
        .map((start) => ({
          start,
          end: events.find(({ part, ids }) => part === 'end' && ids.span_id === start.ids.span_id),
        })),
    text: () => JSON.stringify(events),
  }
}
