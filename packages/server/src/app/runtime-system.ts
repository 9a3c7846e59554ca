/** What the runtime says of itself: health, metrics, status, and calls that wait for somebody. */
import { VestryError } from '@vestry/contract/errors'
import type { McpServers } from '../mcp/servers.ts'
import { approvalRoutes } from '../runtime/system/approvals.ts'
import { CpuSampler } from '../runtime/system/cpu-sampler.ts'
import { HealthChecks } from '../runtime/system/health.ts'
import { hostUsage, readCpu, readText } from '../runtime/system/host-usage.ts'
import {
  type Counts,
  type SystemDeps,
  systemRoutes,
  type TaskCounts,
} from '../runtime/system/routes.ts'
import type { VerbDoor } from '../runtime/wire/verb-door.ts'
import type { Secrets } from '../secrets/secrets.ts'
import type { Parts } from './assemble.ts'
import type { RuntimePiece } from './runtime-part.ts'

export interface SystemPieceDeps
  extends Pick<
    SystemDeps,
    'startedAtMs' | 'draining' | 'requestsTotal' | 'requestsUnderWay' | 'scheduler' | 'exposition'
  > {
  readonly door: VerbDoor
  readonly secrets: Pick<Secrets, 'check' | 'count'>
  readonly mcp: Pick<McpServers, 'servers' | 'connectedCount'>
  readonly knowledge: { count(): Promise<number> }
  readonly agents: () => Promise<Pick<Counts, 'active_agents' | 'total_agents'>>
  readonly tasks: () => Promise<TaskCounts>
}

export interface SystemPiece extends RuntimePiece, Disposable {
  /** The daemon has come up. */
  started(): void
}

const PROBE_MS = 1_900
const PROBE_HOLDS_MS = 10_000
const COUNT_MS = 5_000

export function assembleSystemPiece(parts: Parts, deps: SystemPieceDeps): SystemPiece {
  const { home, store, seal, audit } = parts
  const now = () => performance.now()
  const cpu = new CpuSampler({ read: (nowMs) => readCpu(readText, nowMs), now })
  const unsealed = () => seal.state === 'unsealed'
  const health = new HealthChecks(
    {
      storage: { check: async () => void (await store.generation()), vital: true },
      audit: {
        check: () => {
          if (!audit.available) throw new VestryError('AUDIT_UNAVAILABLE')
        },
        vital: true,
      },
      secrets: {
        check: async () => void (await deps.secrets.check(AbortSignal.timeout(PROBE_MS))),
        vital: false,
        // It may be somebody else's server, and this is asked without a key.
        holdsMs: PROBE_HOLDS_MS,
        applies: unsealed,
      },
      mcp: {
        check: () => {
          const failed = deps.mcp.servers().filter(({ status }) => status === 'error').length
          if (failed > 0) throw new VestryError('MCP_NOT_CONNECTED', `${failed} MCP servers failed`)
        },
        vital: false,
        applies: unsealed,
      },
    },
    now,
  )
  let started = false
  let secretsCount = 0
  /** A back end that does not answer must not take the other numbers with it. */
  const countSecrets = async (): Promise<number> => {
    secretsCount = await deps.secrets.count(AbortSignal.timeout(COUNT_MS)).catch(() => secretsCount)
    return secretsCount
  }
  return {
    routes: [
      ...systemRoutes({
        startedAtMs: deps.startedAtMs,
        health,
        sealed: () => !unsealed(),
        draining: deps.draining,
        started: () => started,
        usage: () => hostUsage(home.dir, cpu.percent()),
        counts: async () => ({
          ...(await deps.agents()),
          secrets_count: await countSecrets(),
          mcp_connections: deps.mcp.connectedCount,
          vector_db_items: await deps.knowledge.count(),
        }),
        tasks: deps.tasks,
        scheduler: deps.scheduler,
        exposition: deps.exposition,
        requestsTotal: deps.requestsTotal,
        requestsUnderWay: deps.requestsUnderWay,
      }),
      ...approvalRoutes(deps.door),
    ],
    started: () => {
      started = true
    },
    [Symbol.dispose]: () => cpu[Symbol.dispose](),
  }
}
