/** Puts the export together: where to, with whose credentials, and when it begins and ends. */
import { hostname } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { redactJson } from '@vestry/coat/redaction'
import { VERSION } from '@vestry/contract/version'
import type { AdminVerb } from '../admin/verb.ts'
import { processTable } from '../identity/claims/process-table.ts'
import { SpanIndex } from '../telemetry/correlation/span-index.ts'
import { hiddenBy } from '../telemetry/otlp/content.ts'
import { type ExportMeter, type ExportStatus, OtlpExporter } from '../telemetry/otlp/exporter.ts'
import { httpPost } from '../telemetry/otlp/http-post.ts'
import { resourceOf } from '../telemetry/otlp/resource.ts'
import { exportPlan } from '../telemetry/otlp/targets.ts'
import { exportVerbs } from '../telemetry/otlp/verbs.ts'
import type { Pod } from '../telemetry/pod.ts'
import type { Parts } from './assemble.ts'

export interface ExportPart {
  readonly verbs: readonly AdminVerb[]
  /** For `vestry status` and `doctor`; undefined when nothing is exported. */
  status(): ExportStatus | undefined
  /** Records that are in the log and not exported yet. */
  lag(): number
  /** Begins, once it is known which pod this is. Idempotent. */
  start(pod: Pod): void
  /** The vault was opened, or credentials changed. */
  wake(): void
  /** Sends what is there, if that takes no longer than this. */
  stop(budgetMs: number): Promise<void>
}

/** Beyond it the rest is left for the next start: nothing is lost by it. */
const MAX_STOP_MS = 2_000

/** @throws VestryError CONFIG_INVALID for an export that goes nowhere. */
export function assembleExport(
  parts: Parts,
  options: { meter: ExportMeter; env: NodeJS.ProcessEnv; warn: (line: string) => void },
): ExportPart {
  const { config, home, audit, credentials, vault } = parts
  const settings = config.telemetry.enabled ? config.telemetry.otel : undefined
  const plan = settings === undefined ? undefined : exportPlan(settings)
  let exporter: OtlpExporter | undefined
  const create = (pod: Pod): OtlpExporter | undefined => {
    if (settings === undefined || plan === undefined) return undefined
    // Named one by one: an observer of lookups must not come along.
    const { pool, resolver, rules, now } = vault.egress.deps
    return new OtlpExporter({
      log: audit,
      path: home.exportState,
      targets: plan,
      rules: {
        genAi: settings.gen_ai,
        content: settings.content,
        hidden: hiddenBy(options.env),
        redact: (value) => redactJson(value).value,
      },
      resource: resourceOf({
        serviceName: settings.service_name ?? pod.name,
        podId: pod.id,
        podName: pod.name,
        hostName: hostname(),
      }),
      attributor: () => new SpanIndex({ processTree: { parentOf } }),
      meter: options.meter,
      warn: (line) => options.warn(`telemetry export: ${line}`),
      post: httpPost({
        egress: { pool, resolver, rules, now, userAgent: `vestry/${VERSION}` },
        credentials,
      }),
      isAlive,
      now: Date.now,
      monotonicMs: () => performance.now(),
      random: Math.random,
      sleep: (ms, signal) => delay(ms, undefined, { signal }).catch(() => undefined),
    })
  }
  return {
    verbs: exportVerbs({ plan, exporter: () => exporter }),
    status: () => exporter?.status,
    lag: () => exporter?.lag ?? 0,
    start: (pod) => {
      if (exporter !== undefined) return
      exporter = create(pod)
      exporter?.start()
    },
    wake: () => exporter?.wake(),
    stop: async (budgetMs) => exporter?.stop(Math.min(budgetMs, MAX_STOP_MS)),
  }
}

function parentOf(pid: number): number | undefined {
  return processTable.read(pid)?.parentPid
}

/** Where no process can be looked at, each is taken to live: its spans wait for their ends. */
function isAlive(pid: number, startTime: string | undefined): boolean {
  if (processTable.read(process.pid) === undefined) return true
  const found = processTable.read(pid)
  if (found === undefined || found.ended) return false
  return startTime === undefined || found.startTime === startTime
}
