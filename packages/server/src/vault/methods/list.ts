/** `list`: what this agent may do something with, and nothing else (wire contract §6.5). */
import { principalOf } from '../../call/perform.ts'
import { type Credential, isPath, withoutRevealing } from '../credential.ts'
import { invalid, optionalInteger, optionalString, type Params } from '../operations/params.ts'
import { callerRecord } from '../record.ts'
import type { AgentCall } from '../vault.ts'
import type { Reply } from '../wire/reply.ts'
import {
  baseContext,
  callerOf,
  reasonData,
  reasonOf,
  resourceOf,
  unknownParams,
} from './context.ts'
import { withinFrame } from './within-frame.ts'

const KNOWN = ['prefix', 'tag', 'type', 'limit', 'cursor']

export async function list(call: AgentCall): Promise<Reply> {
  const { vault, params } = call
  const prefix = textForStore(params, 'prefix')
  const tag = optionalString(params, 'tag', 128)
  const type = optionalString(params, 'type', 64)
  const limit = optionalInteger(params, 'limit', { min: 1, max: 10_000 })
  const after = textForStore(params, 'cursor')

  const caller = callerOf(call)
  const principal = principalOf(caller)
  const context = baseContext(call, reasonOf(call))
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
      detail: `list of ${fitted.length}`,
      requestId: call.requestId,
      data: {
        ...unknownParams(call, KNOWN),
        ...prefixData(prefix),
        ...reasonData(call),
        count: fitted.length,
        truncated,
      },
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

/** Only what reads as the beginning of a path: anything else is text of the agent's. */
function prefixData(prefix: string): Record<string, unknown> {
  return isPath(prefix.replace(/\/$/, '')) ? { prefix } : {}
}

/** No path holds a NUL, and no store takes one. */
function textForStore(params: Params, name: string): string {
  const text = optionalString(params, name, 512) ?? ''
  if (text.includes('\0')) throw invalid(name, 'holds a NUL character')
  return text
}

type Entry = ReturnType<typeof entryOf>

function entryOf(
  credential: Credential,
  visible: { operations: readonly string[]; maxTtl?: number; hosts: readonly string[] },
  globalMaxTtl: number,
) {
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
    operations: withoutRevealing(visible.operations, credential),
    max_ttl: Math.min(visible.maxTtl ?? globalMaxTtl, globalMaxTtl),
    hosts: visible.hosts,
  }
}

/** Too much for one frame: entries lose description and metadata first, then the list its end. */
function fit(entries: readonly Entry[]): readonly Entry[] {
  if (withinFrame(entries).length === entries.length) return entries
  return withinFrame(entries.map((entry) => ({ ...entry, description: null, metadata: {} })))
}
