/** `list`: what this agent may do something with, and nothing else (vault.md §6.5). */

import { principalOf } from '../../call/perform.ts'
import type { Credential } from '../credential.ts'
import { optionalInteger, optionalString } from '../operations/params.ts'
import { callerRecord } from '../record.ts'
import type { AgentCall } from '../vault.ts'
import type { Reply } from '../wire/reply.ts'
import { baseContext, callerOf, resourceOf, unknownParams } from './context.ts'

const KNOWN = ['prefix', 'tag', 'type', 'limit', 'cursor']
/** Above this, entries lose description and metadata; if that is not enough the list is cut. */
const MAX_LIST_BYTES = 3.5 * 1024 * 1024

export async function list(call: AgentCall): Promise<Reply> {
  const { vault, params } = call
  const prefix = optionalString(params, 'prefix', 512) ?? ''
  const tag = optionalString(params, 'tag', 128)
  const type = optionalString(params, 'type', 64)
  const limit = optionalInteger(params, 'limit', { min: 1, max: 10_000 })
  const after = optionalString(params, 'cursor', 512) ?? ''

  const caller = callerOf(call)
  const principal = principalOf(caller)
  const context = baseContext(call, undefined)
  const entries: Entry[] = []
  let more = false
  for await (const credential of vault.credentials.all({ prefix, after })) {
    if (credential.version === 0) continue
    if (tag !== undefined && !credential.tags.includes(tag)) continue
    if (type !== undefined && credential.type !== type) continue
    const { path } = credential
    const visible = vault.stations.policy.visible(principal, resourceOf(path, credential), {
      nowMs: context.nowMs,
      context,
      credentialHosts: credential.settings.allowed_hosts ?? [],
    })
    if (visible.operations.length === 0) continue
    if (limit !== undefined && entries.length === limit) {
      more = true
      break
    }
    entries.push(entryOf(credential, visible, vault.settings.leases.maxTtl))
  }
  const fitted = fit(entries)
  const truncated = more || fitted.length < entries.length
  await vault.stations.audit.append(
    callerRecord(caller, {
      action: 'credential.list',
      detail: `list ${prefix}`.trim(),
      requestId: call.requestId,
      data: { ...unknownParams(call, KNOWN), prefix, count: fitted.length, truncated },
    }),
    'written',
  )
  return {
    result: {
      credentials: fitted,
      truncated,
      ...(truncated && { next_cursor: fitted.at(-1)?.path ?? after }),
    },
  }
}

type Entry = ReturnType<typeof entryOf>

function entryOf(
  credential: Credential,
  visible: { operations: readonly string[]; maxTtl?: number; hosts: readonly string[] },
  globalMaxTtl: number,
) {
  const { allowed_hosts: bound } = credential.settings
  return {
    path: credential.path,
    type: credential.type,
    description: credential.description as string | null,
    tags: credential.tags,
    created_at: new Date(credential.created_at).toISOString(),
    updated_at: new Date(credential.updated_at).toISOString(),
    version: credential.version,
    expires_at:
      credential.expires_at === null ? null : new Date(credential.expires_at).toISOString(),
    metadata: credential.metadata as Record<string, string>,
    operations: visible.operations,
    max_ttl: Math.min(visible.maxTtl ?? globalMaxTtl, globalMaxTtl),
    hosts: visible.hosts.length > 0 ? visible.hosts : (bound ?? []),
  }
}

function fit(entries: Entry[]): Entry[] {
  const sizes = (list: Entry[]) => list.map((entry) => Buffer.byteLength(JSON.stringify(entry)) + 1)
  const total = (list: number[]) => list.reduce((sum, size) => sum + size, 0)
  if (total(sizes(entries)) <= MAX_LIST_BYTES) return entries
  const lean = entries.map((entry) => ({ ...entry, description: null, metadata: {} }))
  const each = sizes(lean)
  let sum = 0
  const cut = each.findIndex((size) => {
    sum += size
    return sum > MAX_LIST_BYTES
  })
  return cut < 0 ? lean : lean.slice(0, cut)
}
