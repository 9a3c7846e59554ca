/** Where each signal goes, with which headers: settings → plan. */
import { VestryError } from '@vestry/contract/errors'
import type { OtelSettings } from '../settings.ts'
import type { Target } from './delivery.ts'
import type { Signal } from './request.ts'

export type ExportPlan = Readonly<Record<Signal, Target | undefined>>

/** A value of this form stands for a credential. */
export const VAULT = 'vault:'
/** Said by the request itself. */
const OWN_HEADERS = /^(?:content-.*|host|connection|transfer-encoding)$/i

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

function targetOf(signal: Signal, settings: OtelSettings): Target | undefined {
  if (!settings.signals.includes(signal)) return undefined
  const own = (signal === 'logs' ? settings.logs : settings.traces) ?? {}
  const url = own.endpoint ?? (settings.endpoint && below(settings.endpoint, PATHS[signal]))
  if (url === undefined) return undefined
  const { username, password, origin, pathname } = new URL(url)
  if (username !== '' || password !== '') {
    throw new VestryError('CONFIG_INVALID', 'the address of the export carries a login', {
      hint: 'Store the login as a credential and name it in telemetry.otel.headers as vault:PATH',
    })
  }
  const headers = own.headers ?? settings.headers
  for (const [name, value] of Object.entries(headers)) assertSendable(name, value)
  return {
    url,
    shown: origin + pathname,
    headers,
    protocol: own.protocol ?? settings.protocol,
    timeoutMs: own.timeout_ms ?? settings.timeout_ms,
  }
}

/** At the start, and not when the first request fails. Values of the vault are looked at when they are read. */
function assertSendable(name: string, value: string): void {
  if (OWN_HEADERS.test(name)) {
    throw new VestryError('CONFIG_INVALID', `header "${name}" of the export is not yours to set`, {
      hint: 'Remove it from telemetry.otel.headers; telemetry.otel.protocol chooses the encoding',
    })
  }
  if (!value.startsWith(VAULT) && !isHeaderText(value)) {
    throw new VestryError('CONFIG_INVALID', `the value of header "${name}" cannot be sent`, {
      hint: 'It must be one line of ASCII text',
    })
  }
}

export function isHeaderText(value: string): boolean {
  return /^[\t\x20-\x7e]*$/.test(value)
}

function below(base: string, path: string): string {
  const url = new URL(base)
  url.pathname = `${url.pathname.replace(/\/+$/, '')}/${path}`
  return url.href
}
