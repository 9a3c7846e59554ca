/** A trace that is told again whenever it has grown, until it seems to be over or nobody watches any more. */
import { setTimeout as sleep } from 'node:timers/promises'
import { VestryError } from '@vestry/contract/errors'
import type { AdminDeps } from '../../admin/deps.ts'
import { inParts } from './long-reply.ts'

type Reply = Record<string, unknown>

interface Following {
  readonly id: string
  /** The trace as it is now; undefined while there is none. */
  readonly now: () => Promise<Reply | undefined>
  readonly signal: AbortSignal
  readonly emit: (frame: Reply) => Promise<void>
}

const LOOK_EVERY_MS = 250
/** Telling a long trace again takes a while: others get most of the time. */
const REST_PER_WORK = 4
/** With every span ended, silence for so long is taken for the end. */
const QUIET_MS = 5_000
/** Nothing needs to have been recorded yet. */
const PATIENCE_MS = 30_000

/**
 * Frames of one telling are its parts; the last one of them says `told: true`.
 *
 * @returns Why it ended.
 * @throws VestryError NOT_FOUND when nothing was recorded in time.
 */
export async function followTrace(
  { vault }: Pick<AdminDeps, 'vault'>,
  { id, now, signal, emit }: Following,
): Promise<Reply> {
  const startedMs = performance.now()
  const { audit } = vault.stations
  let head = -1
  let told = ''
  let changedMs = startedMs
  let isOpen = true
  while (!signal.aborted) {
    const { seq } = audit.head()
    const beganMs = performance.now()
    if (seq !== head) {
      head = seq
      const trace = await now()
      if (trace !== undefined) {
        const text = JSON.stringify(trace)
        if (text !== told) {
          told = text
          changedMs = performance.now()
          isOpen = hasOpenSpans(trace)
          await emit({ ...(await inParts(trace, emit)), told: true })
        }
      }
    }
    const nowMs = performance.now()
    if (told === '' && nowMs - startedMs > PATIENCE_MS) throw unknownId(id)
    if (told !== '' && !isOpen && nowMs - changedMs > QUIET_MS) return { ended: 'quiet' }
    const pauseMs = Math.max(LOOK_EVERY_MS, (nowMs - beganMs) * REST_PER_WORK)
    await sleep(pauseMs, undefined, { signal }).catch(() => undefined)
  }
  return { ended: 'stopped' }
}

function hasOpenSpans({ agents }: Reply): boolean {
  return typeof agents === 'object' && agents !== null && Reflect.get(agents, 'open') !== 0
}

export function unknownId(id: string): VestryError {
  return new VestryError('NOT_FOUND', `nothing was recorded under '${id}'`, {
    hint: 'Give a trace, span, transaction, run, request, decision, correlation, claim, token or job id, as errors and "vestry audit tail" show them. Spans, runs of agents, claims, correlations, tokens and jobs are looked for in the newest records only',
  })
}
