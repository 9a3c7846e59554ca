/** Where each signal goes, with which headers: settings → plan. */
import { VestryError } from '@vestry/contract/errors'
import type { OtelSettings } from '../settings.ts'
import type { Target } from './delivery.ts'
import type { Signal } from './request.ts'

export interface PlannedTarget extends Target {
  /** As written: a value of `vault:PATH` stands for a credential. */
  readonly headers: Readonly<Record<string, string>>
}

export type ExportPlan = Readonly<Record<Signal, PlannedTarget | undefined>>

const PATHS: Readonly<Record<Signal, string>> = { logs: 'v1/logs', spans: 'v1/traces' }

/** @throws VestryError CONFIG_INVALID where nothing says where to, or a URL cannot be used. */
export function exportPlan(settings: OtelSettings): ExportPlan {
  const plan = {
    logs: targetOf('logs', settings),
    spans: targetOf('spans', settings),
  }
  if (plan.logs !== undefined || plan.spans !== undefined) return plan
  throw new VestryError('CONFIG_INVALID', 'telemetry.otel says nowhere where to export to', {
    hint: 'Set telemetry.otel.endpoint, such as http://127.0.0.1:4318',
  })
}

function targetOf(signal: Signal, settings: OtelSettings): PlannedTarget | undefined {
  if (!settings.signals.includes(signal)) return undefined
  const own = (signal === 'logs' ? settings.logs : settings.traces) ?? {}
  const url = own.endpoint ?? (settings.endpoint && below(settings.endpoint, PATHS[signal]))
  if (url === undefined) return undefined
  const { username, password } = new URL(url)
  if (username !== '' || password !== '') {
    throw new VestryError('CONFIG_INVALID', 'the address of the export carries a login', {
      hint: 'Store the login as a credential and name it in telemetry.otel.headers as vault:PATH',
    })
  }
  return {
    url,
    protocol: own.protocol ?? settings.protocol,
    headers: own.headers ?? settings.headers,
    timeoutMs: own.timeout_ms ?? settings.timeout_ms,
  }
}

function below(base: string, path: string): string {
  const url = new URL(base)
  url.pathname = `${url.pathname.replace(/\/+$/, '')}/${path}`
  return url.href
}
