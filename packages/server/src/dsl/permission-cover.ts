/** Whether one permission takes in all of another. */

import { segmentMatches } from '../policy/glob.ts'
import { parseHostPattern } from '../policy/host.ts'
import { splitTool } from './permission-names.ts'
import { conditionText } from './permission-words.ts'
import type { Permission, Permissions } from './permissions.ts'

/** @param rules What the conditions of each mean. */
export function coversPermission(
  wide: Permission,
  wideRules: Permissions['rules'],
  narrow: Permission,
  narrowRules: Permissions['rules'],
): boolean {
  if (wide.kind !== narrow.kind || !coversName(wide.kind, wide.name, narrow.name)) return false
  if (!coversAccess(wide, narrow)) return false
  const needed = new Set(narrow.conditions.map((id) => conditionText(id, narrowRules)))
  return wide.conditions.every((id) => needed.has(conditionText(id, wideRules)))
}

/** No access is all of them, but for hosts, where it is the encrypted one. */
function coversAccess(wide: Permission, narrow: Permission): boolean {
  if (wide.access === narrow.access) return true
  return wide.kind === 'host' ? wide.access === 'cleartext' : wide.access === undefined
}

/** Of one kind, whether a name means all that another one means. */
export function coversName(kind: Permission['kind'], wide: string, narrow: string): boolean {
  if (wide === narrow || wide === '*') return true
  if (narrow === '*') return false
  switch (kind) {
    case 'tool':
    case 'mcp': {
      const [a, b] = [splitTool(wide), splitTool(narrow)]
      return a.tool === b.tool && starCovers(a.action, b.action)
    }
    case 'model':
      if (wide.endsWith(':*')) return narrow.startsWith(wide.slice(0, -1))
      return !wide.includes(':') && narrow.endsWith(`:${wide}`) && narrow.split(':').length === 2
    case 'credential':
    case 'secret':
      return pathCovers(wide.split('/'), narrow.split('/'))
    case 'host':
      return hostCovers(wide, narrow)
    default:
      return false
  }
}

/** Only a plain prefix before one `*` is taken for wider; of others nothing is claimed. */
function starCovers(wide: string, narrow: string): boolean {
  if (!wide.endsWith('*') || wide.indexOf('*') !== wide.length - 1) return false
  return narrow.startsWith(wide.slice(0, -1))
}

function pathCovers(wide: readonly string[], narrow: readonly string[]): boolean {
  const [first, ...rest] = wide
  if (first === undefined) return narrow.length === 0
  if (first === '**')
    return rest.length === 0 || narrow.some((_, i) => pathCovers(rest, narrow.slice(i)))
  const [part, ...others] = narrow
  if (part === undefined || part === '**' || first.includes('{{') !== part.includes('{{'))
    return false
  const wild = /[*?]/.test(part)
  const covered =
    first === part ||
    first === '*' ||
    (!wild && !first.includes('{{') && segmentMatches(first, part))
  return covered && pathCovers(rest, others)
}

function hostCovers(wide: string, narrow: string): boolean {
  const [a, b] = [parseHostPattern(wide), parseHostPattern(narrow)]
  const [path, inner] = [a.path, b.path]
  if (path !== undefined) {
    if (inner === undefined) return false
    const within = path.prefix
      ? inner.text.startsWith(path.text)
      : !inner.prefix && inner.text === path.text
    if (!within) return false
  }
  if (b.match === 'exact' && a.match === 'domain')
    return (a.port === 'any' || (a.port ?? 443) === (b.port ?? 443)) && isBelow(b.host, a.host)
  if (a.port !== b.port) return false
  if (a.match === 'any') return true
  if (a.match === b.match)
    return a.host === b.host || (a.match === 'domain' && isBelow(b.host, a.host))
  return a.match === 'label' && b.match === 'exact' && oneBelow(b.host, a.host)
}

function isBelow(host: string, domain: string): boolean {
  return host === domain || (host.endsWith(`.${domain}`) && !/[\d:]$/.test(host))
}

function oneBelow(host: string, parent: string): boolean {
  const dot = host.indexOf('.')
  return dot > 0 && host.slice(dot + 1) === parent && !/^[\d.]+$|:/.test(host)
}
