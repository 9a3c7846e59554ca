/**
 * The action lane of the queue socket: what older clients know it for, with the identity of the caller taken from
 * the kernel and its claim. Limited apart from telemetry, for all callers together.
 */
import { VestryError } from '@vestry/contract/errors'
import { newRequestId } from '@vestry/contract/ids'
import type { Gateway } from '../../gateway/gateway.ts'
import { Buckets } from '../../limits/bucket.ts'
import type { ActionRequest, AnswerAction } from '../collector/connection.ts'
import type { TelemetryMetrics } from '../metrics.ts'
import type { TelemetrySettings } from '../settings.ts'
import { callAction } from './action-call.ts'
import { listActions } from './action-list.ts'
import { type ActionAnswer, failed, refused } from './answer.ts'
import { claimedCaller } from './claimed-caller.ts'
import { decidedRecord, poll, queueRecord, type SubmissionDeps, submit } from './submission.ts'

export interface ActionLaneDeps {
  readonly gateway: Gateway
  readonly settings: Pick<TelemetrySettings, 'actions_per_minute' | 'submits_per_minute'>
  readonly metrics: Pick<TelemetryMetrics, 'action'>
  readonly monotonic: () => number
}

export interface ActionLane extends Disposable {
  readonly answer: AnswerAction
}

export function createActionLane(deps: ActionLaneDeps): ActionLane {
  const { gateway, settings, metrics, monotonic } = deps
  const { stations, agents } = gateway
  const { audit, approvals } = stations
  const buckets = new Buckets({ now: monotonic })
  const submissions: SubmissionDeps = {
    approvals,
    now: gateway.now,
    record: (entry) => audit.append(entry, 'synced'),
  }
  const stopTelling = approvals.onDecided((approval) => {
    const entry = decidedRecord(approval)
    // The verb that decided has its own synced record.
    if (entry !== undefined) audit.append(entry, 'written').catch(() => undefined)
  })

  const admit = (scope: string, perMinute: number): void => {
    const limit = { kind: 'bucket' as const, key: scope, scope, perSecond: perMinute / 60 }
    const waitMs = buckets.take({ ...limit, burst: perMinute })
    if (waitMs === 0) return
    throw new VestryError('RATE_LIMITED', 'too many requests of the action queue', {
      context: { scope, retry_after_ms: waitMs },
    })
  }

  const perform = async (request: ActionRequest): Promise<ActionAnswer> => {
    const { type, line, peer, resolution } = request
    admit('queue.actions', settings.actions_per_minute)
    if (type === 'poll') return poll(submissions, request, line)
    if (type === 'submit') {
      admit('queue.submits', settings.submits_per_minute)
      return submit(submissions, request, line)
    }
    const claimed = await claimedCaller(agents, peer, resolution, line['traceparent'])
    if (type === 'list_actions') {
      const actions = claimed === undefined ? [] : listActions(gateway, claimed)
      return { ok: true, status: 'ok', actions }
    }
    if (claimed !== undefined) return callAction(gateway, claimed, line)
    await submissions.record(
      queueRecord('queue_block', request, { reason: 'anonymous', status: 'blocked' }),
    )
    return refused('blocked', 'only an agent may call actions: claim its identity first')
  }

  return {
    answer: async (request) => {
      const answer = await perform(request).catch((error: unknown) => {
        if (!(error instanceof VestryError)) gateway.onInternalError(newRequestId(), error)
        return failed(error)
      })
      if (answer.status === 'rate_limited') {
        const { resolution } = request
        const claim = resolution.kind === 'claimed' ? resolution.claim : undefined
        const actor = claim === undefined ? 'anonymous' : `agent:${claim.agentName}`
        stations.refused(actor, 'queue')
      }
      metrics.action(request.type, answer.status)
      return answer
    },
    [Symbol.dispose]: stopTelling,
  }
}
