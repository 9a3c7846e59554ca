/**
 * Translates merged gateway policies to Cedar: one permit for each scope, one forbid for each guard with
 * the rank and the reason of its answer. What Cedar does not decide (sizes of answers, filters, lowered
 * parameters, quotas) becomes annotations of the permits.
 */
import { hash } from 'node:crypto'
import { canonicalJson } from '@vestry/contract/canonical'
import { TOOL_CALL } from './actions.ts'
import type { Scope, WrittenPolicy } from './cedar/expression.ts'
import { FETCH_TOOL } from './decision.ts'
import { guardForbids, intentForbids, type GatewayPart as Part } from './gateway-guards.ts'
import { fromOf, type MergedGateway } from './gateway-merge.ts'
import { listMember } from './obligations.ts'

/** The group of those whom exactly these policies bind. */
export function gatewayHash({ spec, sources }: MergedGateway): string {
  return hash('sha256', canonicalJson({ sources, spec }))
}

export function gatewayPolicies(merged: MergedGateway): WrittenPolicy[] {
  const principal: Scope = { op: 'in', type: 'GatewaySpec', id: gatewayHash(merged) }
  return [
    ...scopePermits(merged),
    ...quotaPermits(merged),
    ...intentForbids(merged),
    ...guardForbids(merged),
  ].map((policy) => ({ ...policy, principal, action: TOOL_CALL }))
}

type Notes = [name: string, value: string][]

const ANY_TOOL: Scope = { op: 'is', type: 'Tool' }

function oneTool(tool: string): Scope {
  return { op: 'in', type: 'Tool', id: tool }
}

function scopePermits(merged: MergedGateway): Part[] {
  const permits = merged.spec.scopes.map((scope): Part => {
    const [tool = '', action] = scope.split(':')
    const resource: Scope =
      scope === '*'
        ? ANY_TOOL
        : action === '*'
          ? oneTool(tool)
          : { op: '==', type: 'Tool', id: scope }
    return permit(`${fromOf(merged, `scopes.${scope}`)}/scope/${scope}`, resource, [
      ...commonNotes(merged),
      ...toolNotes(merged, tool),
    ])
  })
  if (!merged.spec.scopes.includes('*')) return permits
  // One permit covers all tools; what binds a single one needs a permit of its own beside it.
  const limits = [FETCH_TOOL, 'openai'].flatMap((tool): Part[] => {
    const notes = toolNotes(merged, tool)
    if (notes.length === 0) return []
    return [permit(`${fromOf(merged, 'scopes.*')}/limits/${tool}`, oneTool(tool), notes)]
  })
  return [...permits, ...limits]
}

function permit(id: string, resource: Scope, notes: Notes): Part {
  return { id, effect: 'permit', notes: joined(notes), resource, conditions: [] }
}

/** An annotation has one value: of sizes the smaller binds, lists go together. */
function joined(notes: Notes): Notes {
  const all = new Map<string, string>()
  for (const [name, value] of notes) {
    const other = all.get(name)
    if (other === undefined) all.set(name, value)
    else if (name === 'cap') all.set(name, `${other},${value}`)
    else all.set(name, String(Math.min(Number(other), Number(value))))
  }
  return [...all]
}

function commonNotes({ spec: { guards, responseFilters: filters } }: MergedGateway): Notes {
  const notes: Notes = []
  const list = (name: string, members: readonly string[] | undefined): void => {
    if (members === undefined || members.length === 0) return
    notes.push([name, members.map(listMember).join(',')])
  }
  if (guards?.maxResponseSize !== undefined) {
    notes.push(['max_response_bytes', String(guards.maxResponseSize)])
  }
  list('redact', filters?.redactFields)
  list(
    'truncate',
    filters?.truncateFields?.map(({ field, maxLength }) => `${field}:${maxLength}`),
  )
  list('block', filters?.blockPatterns)
  list('pii', guards?.piiFilters)
  return notes
}

function toolNotes({ spec: { guards } }: MergedGateway, tool: string): Notes {
  const notes: Notes = []
  if (tool === FETCH_TOOL) {
    const { maxResponseBytes, timeoutMs } = guards?.http_fetch ?? {}
    if (maxResponseBytes !== undefined) notes.push(['max_response_bytes', String(maxResponseBytes)])
    if (timeoutMs !== undefined) notes.push(['cap', `timeout ${timeoutMs}`])
  }
  const maxTokens = tool === 'openai' ? guards?.openai?.maxTokens : undefined
  if (maxTokens !== undefined) notes.push(['cap', `max_tokens ${maxTokens}`])
  return notes
}

/** Beside the scope that allows the call, so that it is charged; where none does, there is nothing to count. */
function quotaPermits({ spec: { scopes }, quotas }: MergedGateway): Part[] {
  const least = new Map<string, { id: string; action: string; window: string; limit: number }>()
  for (const { quota, from } of quotas) {
    const { action, limit, window, resetStrategy = 'sliding' } = quota
    const [tool = ''] = action.split(':')
    if (![action, `${tool}:*`, '*'].some((scope) => scopes.includes(scope))) continue
    const length = `${Number.parseInt(window, 10)}${window.slice(-1)} ${resetStrategy}`
    const id = `${from}/quota/${action}/${length.replace(' ', '/')}`
    const known = least.get(id)?.limit ?? limit
    least.set(id, { id, action, window: length, limit: Math.min(known, limit) })
  }
  return [...least.values()].map(({ id, action, window, limit }) =>
    permit(id, { op: '==', type: 'Tool', id: action }, [['quota', `${limit}/${window}`]]),
  )
}
