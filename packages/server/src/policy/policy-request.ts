/** The question put to the policy engine: shapes only, shared by every wire. */
import type { Target } from './host.ts'

export interface PolicyRequest {
  principal: PolicyPrincipal
  /** `vault:retrieve`, `vault:use:http_request`, `admin:write` … */
  action: string
  resource: PolicyResource
  context: PolicyContext
}

export interface PolicyPrincipal {
  kind: 'agent' | 'operator'
  id: string
  name: string
  role: string
  meta: Record<string, string>
}

export type PolicyResource =
  | { kind: 'credential'; path: string; type: string | null; tags: readonly string[] }
  | { kind: 'system' }

export interface PolicyContext {
  /** Epoch milliseconds. */
  nowMs: number
  transport?: 'unix' | 'tcp' | 'http'
  sourceIp?: string
  hasReason?: boolean
  /** Actions or action groups that the presented proof covers; absent when it is not limited. */
  scope?: readonly string[]
  /** Where the request would go; canonical (wire contract §8.2). */
  target?: Target
  /** The credential's own `allowed_hosts` against the target. */
  credentialHosts?: 'absent' | 'match' | 'mismatch'
  method?: string
  headerType?: string
  headerName?: string
  requestBytes?: number
  contentType?: string
  /** True at every hop after the first. */
  redirect?: boolean
  algorithm?: string
  dataBytes?: number
  /** Open data: JSON pointer → text, JSON pointer → safe integer, names of conditions that hold. */
  args?: Record<string, string>
  nums?: Record<string, number>
  holds?: readonly string[]
}
