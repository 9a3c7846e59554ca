/** Which step a run of `coatGenerate` is in: models and tools called in the run belong to that step. */
import { current } from '../active.ts'
import { OpenRuns } from '../adapters/open-runs.ts'
import type { Ids } from '../aot.ts'

export interface Steps {
  /** The open step; one is begun when a model is called between two steps. */
  parentOfModel(): Ids | undefined
  parentOfTool(): Ids | undefined
  modelFailed(error: unknown): void
  abandon(): void
}

const runs = new OpenRuns<Steps>((steps) => steps.abandon())

export function openSteps(run: Ids, steps: Steps): void {
  runs.set(run.span_id, steps)
}

export function closeSteps(run: Ids): void {
  runs.take(run.span_id)
}

/** The run that is active right here, not one further out. */
export function activeSteps(): Steps | undefined {
  const ids = current()
  return ids === undefined || ids.span_id === '' ? undefined : runs.get(ids.span_id)
}
