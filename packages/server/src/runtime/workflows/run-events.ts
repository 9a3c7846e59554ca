/**
 * What happens to a run, as events. Ids are times: who comes again with the last one gets what has changed since, and
 * perhaps the last once more. Steps that changed several times meanwhile are told as they are now.
 */
import type { EventSink } from '../wire/route.ts'
import { hasEnded, type RunContent, runBody, stepBody, type WorkflowRun } from './run.ts'
import type { StepView } from './walk.ts'

export interface Watched {
  get(id: string): Promise<WorkflowRun | undefined>
  content(id: string): Promise<RunContent | undefined>
  steps(id: string, content: RunContent | undefined): Promise<readonly StepView[]>
  moved(id: string, ms: number, signal: AbortSignal): Promise<void>
  /** Told before anything of it is shown. */
  told(id: string, txn: string): Promise<void>
}

const LOOK_MS = 15_000
/** What is longer is read with the run. */
const MAX_OUTPUT_BYTES = 65_536
const LAST_ID = /^\d{1,15}$/

/** Ends with the run. @param lastEventId As the client gave it; what is none of ours begins at the beginning. */
export async function runEvents(
  watched: Watched,
  { id, txn, lastEventId = '' }: { id: string; txn: string; lastEventId?: string | undefined },
  events: EventSink,
): Promise<void> {
  const since = LAST_ID.test(lastEventId) ? Number(lastEventId) : 0
  const told = new Map<string, string>()
  for (;;) {
    const run = await watched.get(id)
    if (run === undefined) return
    const content = hasEnded(run) ? await watched.content(id) : undefined
    const views = await watched.steps(id, content)
    await watched.told(id, txn)
    for (const view of views.toSorted((a, b) => changedAt(a) - changedAt(b))) {
      const state = `${view.status} ${view.startedAtMs}`
      if (changedAt(view) < since || told.get(view.id) === state) continue
      told.set(view.id, state)
      await events.send({ id: String(changedAt(view)), event: 'step', data: eventBody(view) })
    }
    if (hasEnded(run)) {
      const at = String(run.finishedAt ?? run.createdAt)
      await events.send({ id: at, event: 'end', data: runBody(run, content, []) })
      return
    }
    events.signal.throwIfAborted()
    await watched.moved(id, LOOK_MS, events.signal)
    events.signal.throwIfAborted()
  }
}

function changedAt({ startedAtMs, durationMs, status }: StepView): number {
  return status === 'running' || status === 'waiting' ? startedAtMs : startedAtMs + durationMs
}

function eventBody(view: StepView): Record<string, unknown> {
  const body = stepBody(view)
  const isShort = Buffer.byteLength(JSON.stringify(body['output'])) <= MAX_OUTPUT_BYTES
  return isShort ? body : { ...body, output: null, truncated: true }
}
