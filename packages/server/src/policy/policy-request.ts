/** The question put to the policy engine: shapes only, shared by every wire. */
import type { Target } from './host.ts'

export interface PolicyRequest {
  principal: PolicyPrincipal
  /** `vault:retrieve`, `vault:use:http_request`, `tool:call`, `admin:write` … */
  action: string
  resource: PolicyResource
  context: PolicyContext
  /** Where "no policy permits it" stands among the ranks of fired forbids; absent: after all of them. */
  unpermittedRank?: number
}

export interface PolicyPrincipal {
  kind: 'agent' | 'operator'
  id: string
  name: string
  role: string
  meta: Record<string, string>
  /** The transaction it acts in; what that has read is looked up by the engine. */
  txn?: string
  /** Conditions that hold for all it does, such as the program whose run this is. */
  holds?: readonly string[]
}

export type PolicyResource =
  | { kind: 'credential'; path: string; type: string | null; tags: readonly string[] }
  | ToolResource
  | ModelResource
  | AgentResource
  | WorkflowResource
  | KnowledgeResource
  | { kind: 'system' }

export interface WorkflowResource {
  kind: 'workflow'
  id: string
}

/** Not one item, but all that have the same owner, kind of source and labels. */
export interface KnowledgeResource {
  kind: 'knowledge'
  /** Name of the agent whose own they are; undefined for shared knowledge. */
  owner: string | undefined
  /** `document`, `code`, `api_reference`, `conversation` */
  sourceType: string
  /** Sorted, without repetition. */
  labels: readonly string[]
}

/** An agent that somebody starts. */
export interface AgentResource {
  kind: 'agent'
  id: string
  name: string
  role: string
  meta: Record<string, string>
}

export interface ModelResource {
  kind: 'model'
  /** Lower case. */
  provider: string
  /** Canonical: without a prefix that only repeats the provider. */
  model: string
}

export interface ToolResource {
  kind: 'tool'
  /** As the caller named it: policy is asked before it is known whether there is such a tool. */
  tool: string
  action: string
  /** Of the tool's description, schemapin-v1; empty for a tool nobody knows. */
  digest: string
  /** The digest was looked at and accepted. */
  reviewed: boolean
  /** The words of a token's permissions that cover it: {@link permissionWords}. */
  permissions: readonly string[]
  /** Millionths of a dollar that one call costs. */
  costMicros: number
}

/** JSON pointer → value; a function is asked only when a policy looks, and once. */
export type OpenData<T> = Readonly<Record<string, T>> | (() => Readonly<Record<string, T>>)

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
  args?: OpenData<string>
  nums?: OpenData<number>
  holds?: readonly string[]
  /** Labels of what the transaction has read; filled in by the engine. */
  taint?: readonly string[]
  /** What the call is said to be for. */
  intent?: string
  /** What the presented gateway token covers; absent when no token was presented. */
  tokenTools?: readonly string[]
  tokenPermissions?: readonly string[]
  /** Lower-case domains of everyone a message would go to. */
  recipients?: readonly string[]
  /** The registered run that a model is called in. */
  run?: string
  /** Canonical refs that the run's token lists for the category. */
  runModels?: readonly string[]
  /** Absent when the token does not limit providers. */
  runProviders?: readonly string[]
  /** `triage`, `analysis`, `reasoning`, `embeddings`, or `unspecified`. */
  category?: string
}
