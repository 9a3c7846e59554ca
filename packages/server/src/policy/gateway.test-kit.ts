/** Gateway policies in an engine, and calls to ask it about. For tests only. */
import { PolicyEngine, type PolicyRequest, type PolicyRow } from './engine.ts'
import { gatewayRow } from './gateway-row.ts'
import { acceptGateway, GatewayDocument } from './gateway-spec.ts'
import type { Target } from './host.ts'
import { permissionWords } from './permission-words.ts'
import type { PolicyContext } from './policy-request.ts'
import { TOOL_RANKS } from './tool-ranks.ts'

/** A Monday. */
export const NOON = Date.UTC(2026, 2, 2, 12)

export const AGENT = '00000000-0000-4000-8000-00000000000a'

export interface Given {
  /** Makes the UUID. */
  n?: number
  role?: string
  agentId?: string
  name?: string
  active?: boolean
  timezone?: string
  spec: unknown
}

/** The policies as rows, in this order. */
export function rowsOf(given: readonly Given[]): PolicyRow[] {
  return given.map(({ n, role, agentId, name = 'p', active, timezone = 'UTC', spec }, position) => {
    const owner = agentId === undefined ? { role: role ?? 'scraper' } : { agentId }
    const document = acceptGateway(GatewayDocument, {
      name,
      ...owner,
      spec,
      ...(active !== undefined && { active }),
    })
    const stored = agentId === undefined ? { role: role ?? 'scraper' } : { agent_id: agentId }
    return { ...gatewayRow(gatewayId(n ?? position + 1), document, stored, timezone), position }
  })
}

export function gatewayId(n: number): string {
  return `gateway:00000000-0000-4000-8000-${String(n).padStart(12, '0')}`
}

export function engineOf(...given: Given[]): PolicyEngine {
  const engine = new PolicyEngine()
  engine.load(rowsOf(given))
  return engine
}

/** @param call `serpapi:search` */
export function ask(
  call: string,
  context: Partial<PolicyContext> = {},
  who: { id?: string; role?: string } = {},
): PolicyRequest {
  const [tool = '', action = ''] = call.split(':')
  const { id = AGENT, role = 'scraper' } = who
  return {
    principal: { kind: 'agent', id, name: 'scout', role, meta: {} },
    action: 'tool:call',
    resource: {
      kind: 'tool',
      tool,
      action,
      digest: 'sha256:1',
      reviewed: true,
      permissions: permissionWords(tool, action, action === 'send' ? 'write' : 'read'),
      costMicros: 0,
    },
    context: { nowMs: NOON, transport: 'http', requestBytes: 10, ...context },
    unpermittedRank: TOOL_RANKS.unpermitted,
  }
}

export function targetOf(url: string): Target {
  const { protocol, hostname, port, pathname } = new URL(url)
  const scheme = protocol === 'https:' ? 'https' : 'http'
  return {
    scheme,
    host: hostname,
    port: Number(port) || (scheme === 'https' ? 443 : 80),
    path: pathname,
  }
}
