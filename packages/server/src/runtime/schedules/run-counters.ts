/** What all runs of all schedules come to; it outlives them. */
import * as z from 'zod'

const Count = z.number().min(0).catch(0)
const Kept = z.object({
  runs_total: Count,
  runs_succeeded: Count,
  runs_failed: Count,
  total_ms: Count,
  longest_ms: Count,
})
export type RunCounters = z.output<typeof Kept>

export const NO_RUNS: RunCounters = Kept.parse({})

/** Rows of counters carry no MAC: what is no number is none. */
export function readRunCounters(text: string | undefined): RunCounters {
  try {
    return Kept.parse(JSON.parse(text ?? '{}'))
  } catch {
    return NO_RUNS
  }
}

export function plusRuns(one: RunCounters, other: RunCounters): RunCounters {
  return {
    runs_total: one.runs_total + other.runs_total,
    runs_succeeded: one.runs_succeeded + other.runs_succeeded,
    runs_failed: one.runs_failed + other.runs_failed,
    total_ms: one.total_ms + other.total_ms,
    longest_ms: Math.max(one.longest_ms, other.longest_ms),
  }
}
