/** In which state an agent is, made of what is known of it; nobody sets it. Pure. */
import type { Agent } from '../../identity/agent.ts'
import type { AgentTotals } from './execution-store.ts'
import type { AgentReport } from './report-store.ts'

export type AgentState = 'idle' | 'active' | 'busy' | 'error' | 'stopped'

export interface Known {
  readonly agent: Pick<Agent, 'status' | 'createdAt'>
  readonly totals: AgentTotals
  /** When each execution under way began; undefined: it waits for a place. */
  readonly open: readonly (number | undefined)[]
  /** Of an agent that runs elsewhere, its last word. */
  readonly report: AgentReport | undefined
  readonly deployed?: Deployed
  readonly heartbeatMs: number
}

/** Of an agent's deployments. Epoch ms. */
export interface Deployed {
  /** Since when one serves; undefined: none does. */
  readonly sinceMs: number | undefined
  readonly isWell: boolean
  /** When the last of them ended. */
  readonly stoppedMs: number | undefined
}

export interface Standing {
  readonly state: AgentState
  /** The same in the words of older runtimes. */
  readonly lifecycle: string
  readonly activeTasks: number
  /** Epoch ms. */
  readonly lastActivityMs: number
  /** Since when an instance is there; undefined: none is. */
  readonly upSinceMs: number | undefined
}

/** Intervals without a word after which an agent elsewhere counts as gone. */
const MISSED = 3

/** What agents elsewhere call their own state, and what it is here. */
export const REPORTED: Readonly<Record<string, AgentState>> = {
  Created: 'idle',
  Ready: 'idle',
  Completed: 'idle',
  Initializing: 'active',
  Waiting: 'active',
  Running: 'active',
  Failed: 'error',
  Unreachable: 'error',
  Suspended: 'stopped',
  Terminating: 'stopped',
  Terminated: 'stopped',
}

export function standingOf(known: Known, nowMs: number): Standing {
  const { agent, totals, open, report, deployed } = known
  const running = open.filter((startedAt) => startedAt !== undefined)
  const lastActivityMs = Math.max(
    agent.createdAt,
    totals.lastActivityMs,
    report?.atMs ?? 0,
    ...running,
  )
  const served = deployed?.sinceMs === undefined ? [] : [deployed.sinceMs]
  const up = [...served, ...running, ...(isAlive(known, nowMs) && report ? [report.sinceMs] : [])]
  const stand = (state: AgentState, lifecycle: string): Standing => ({
    state,
    lifecycle,
    activeTasks: running.length,
    lastActivityMs,
    upSinceMs: state === 'stopped' || up.length === 0 ? undefined : Math.min(...up),
  })
  if (agent.status !== 'enabled') return stand('stopped', 'Suspended')
  if (running.length > 0) return stand('busy', 'Running')
  if (open.length > 0) return stand('active', 'Waiting')
  if (served.length > 0) {
    return deployed?.isWell === true ? stand('active', 'Running') : stand('error', 'Failed')
  }
  if (report !== undefined) {
    if (!isAlive(known, nowMs) && !isOver(report)) return stand('error', 'Unreachable')
    // What it did here since then is newer.
    if (report.atMs >= totals.lastActivityMs)
      return stand(REPORTED[report.state] ?? 'active', report.state)
  }
  if (deployed?.stoppedMs !== undefined && deployed.stoppedMs >= totals.lastActivityMs)
    return stand('stopped', 'Terminated')
  switch (totals.lastStatus) {
    case 'failed':
    case 'timeout':
      return stand('error', 'Failed')
    case 'cancelled':
      return stand('stopped', 'Terminated')
    case 'completed':
      return stand('idle', 'Completed')
    default:
      return stand('idle', 'Created')
  }
}

function isAlive({ report, heartbeatMs }: Known, nowMs: number): boolean {
  return report !== undefined && nowMs < report.atMs + MISSED * heartbeatMs
}

/** It said good-bye itself, so its silence means nothing. */
function isOver({ state }: AgentReport): boolean {
  return REPORTED[state] === 'stopped' || state === 'Completed'
}
