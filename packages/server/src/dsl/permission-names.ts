/** The names in permissions: one spelling for each thing, and none that a policy could not hold exactly. */
import { VestryError } from '@vestry/contract/errors'
import { parseGlob } from '../policy/glob.ts'
import { parseHostPattern } from '../policy/host.ts'
import type { Permission } from './permissions.ts'

export type PermissionKind = Permission['kind']

export const PERMISSION_KINDS: readonly PermissionKind[] = [
  'tool',
  'mcp',
  'model',
  'credential',
  'secret',
  'host',
  'knowledge',
  'agent',
  'workflow',
]

const MAX_NAME = 256
const MCP = 'mcp/'

/** `notes` becomes `notes:*`; the first colon parts a tool from its action. */
export function toolName(text: string): { readonly kind: 'tool' | 'mcp'; readonly name: string } {
  const kind = text.startsWith(MCP) ? 'mcp' : 'tool'
  if (text === '*' || text === `${MCP}*`) return { kind, name: '*' }
  return { kind, name: text.includes(':') ? text : `${text}:*` }
}

export function splitTool(name: string): { readonly tool: string; readonly action: string } {
  const [tool = '', ...rest] = name.split(':')
  return { tool, action: rest.join(':') }
}

/** Why a policy cannot hold it; undefined: it can. A malformed pattern would keep all policies from loading. */
export function nameProblem({ kind, name }: Pick<Permission, 'kind' | 'name'>): string | undefined {
  if (name === '*') return undefined
  if (name === '' || name.length > MAX_NAME) return `is not of 1 to ${MAX_NAME} characters`
  if (!name.isWellFormed() || /\p{C}/u.test(name)) return 'holds characters that nobody can see'
  switch (kind) {
    case 'tool':
    case 'mcp':
      return toolProblem(kind, name)
    case 'model':
      return /\*(?!$)|[^:]\*$/.test(name)
        ? 'may use * only for all models of a provider'
        : undefined
    case 'credential':
    case 'secret':
      return refused(() => parseGlob(name))
    case 'host':
      return name.includes(',') ? 'is more than one host' : refused(() => parseHostPattern(name))
    case 'agent':
    case 'workflow':
    case 'knowledge':
      return name.includes('*') ? 'may use * only for all of them' : undefined
  }
}

function toolProblem(kind: 'tool' | 'mcp', name: string): string | undefined {
  const { tool, action } = splitTool(name)
  if (tool === '' || action === '') return 'is not tool:action'
  if (tool.includes('*')) return 'may use * only in its action'
  if (kind === 'mcp' && tool === MCP) return 'names no server'
  // Requests are asked for by their hosts: under this name they would go to any.
  return tool === 'http' ? 'stands for requests: name the hosts instead' : undefined
}

function refused(check: () => unknown): string | undefined {
  try {
    check()
    return undefined
  } catch (error) {
    if (error instanceof VestryError) return 'is not a pattern that policies know'
    throw error
  }
}
