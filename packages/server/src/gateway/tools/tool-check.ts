/** From what an operator wrote to a whole tool: fills the defaults in and says what cannot work. Pure. */
import { VestryError } from '@vestry/contract/errors'
import { checkInjection, type InjectionSpec } from '../../egress/injection.ts'
import { parseTarget } from '../../egress/url.ts'
import { isPath } from '../../vault/credential.ts'
import { actionProblems } from './action-check.ts'
import { completeAction } from './action-defaults.ts'
import { BUILTIN_NAMES } from './builtin.ts'
import type {
  CredentialInput,
  ToolFile,
  ToolFileAction,
  ToolFileCredential,
  ToolInput,
} from './tool-file.ts'

export interface Problem {
  readonly path: readonly string[]
  readonly message: string
}

const TOOL_NAME = /^[a-z][a-z0-9_]{0,31}$/
const ACTION_NAME = /^[a-z][a-z0-9_]{0,63}$/
/** In a token they cover more than one action; an action of that name would be granted along with them. */
const PERMISSION_WORDS = ['read', 'write']
const MAX_ACTIONS = 64
/** Requests of programs and workflows are decided under this name: runtime/effects/http.ts. */
const PROGRAMS_OWN = 'http'

export function completeTool(
  input: ToolInput,
): { tool: ToolFile } | { problems: readonly Problem[] } {
  const problems: Problem[] = []
  const say = (path: readonly string[], message: string) => void problems.push({ path, message })

  if (!TOOL_NAME.test(input.name)) {
    say(['name'], 'must be 1 to 32 lower-case letters, digits and _, beginning with a letter')
  } else if (BUILTIN_NAMES.includes(input.name) || input.name === PROGRAMS_OWN) {
    say(['name'], 'belongs to a built-in tool')
  }
  const base = baseUrl(input.base_url)
  if ('problem' in base) say(['base_url'], base.problem)

  const credential = input.credential && completeCredential(input.name, input.credential)
  const slot = credential === undefined ? undefined : credentialSlot(credential, say)

  const names = Object.keys(input.actions)
  if (names.length === 0) say(['actions'], 'must have at least one action')
  if (names.length > MAX_ACTIONS) say(['actions'], `must have at most ${MAX_ACTIONS} actions`)
  const actions: Record<string, ToolFileAction> = {}
  for (const [name, action] of Object.entries(input.actions)) {
    const path = ['actions', name]
    if (!ACTION_NAME.test(name)) say(path, 'must be named in lower-case letters, digits and _')
    else if (PERMISSION_WORDS.includes(name)) say(path, 'must not be named like a permission')
    const complete = completeAction(action)
    if ('message' in complete) {
      say([...path, ...complete.path], complete.message)
      continue
    }
    actions[name] = complete.action
    for (const problem of actionProblems(complete.action, slot)) {
      say([...path, ...problem.path], problem.message)
    }
  }
  if (problems.length > 0 || 'problem' in base) return { problems }
  return {
    tool: {
      name: input.name,
      description: input.description,
      base_url: base.url,
      ...(credential !== undefined && { credential }),
      actions,
    },
  }
}

/** How the outbound door places the secret. */
export function credentialInjection({
  header_type: headerType,
  header_name: headerName,
  header_prefix: headerPrefix,
  username,
  query,
}: ToolFileCredential): InjectionSpec | { readonly query: string } {
  if (query !== undefined) return { query }
  return {
    headerType: headerType ?? 'bearer',
    ...(headerName !== undefined && { headerName }),
    ...(headerPrefix !== undefined && { headerPrefix }),
    ...(username !== undefined && { username }),
  }
}

/** Where the credential will be, so that nothing else goes there. */
export type Slot = { readonly header: string } | { readonly query: string }

function completeCredential(tool: string, { path, ...given }: CredentialInput): ToolFileCredential {
  const header =
    given.query === undefined ? { header_type: given.header_type ?? ('bearer' as const) } : {}
  return { ...given, path: path ?? `tools/${tool}`, ...header }
}

function credentialSlot(
  credential: ToolFileCredential,
  say: (path: readonly string[], message: string) => void,
): Slot | undefined {
  if (!isPath(credential.path)) say(['credential', 'path'], 'is not a credential path')
  if (credential.query !== undefined) {
    const { path: _path, query, ...header } = credential
    if (Object.keys(header).length > 0) {
      say(['credential'], 'must name either a query parameter or a header')
    }
    return { query }
  }
  try {
    const spec = credentialInjection(credential)
    return 'query' in spec ? undefined : { header: checkInjection(spec).toLowerCase() }
  } catch (error) {
    if (!(error instanceof VestryError)) throw error
    say(['credential'], error.message)
    return undefined
  }
}

function baseUrl(text: string): { url: string } | { problem: string } {
  try {
    const { href, query } = parseTarget(text)
    if (query !== '' || /[?#]/.test(text)) return { problem: 'must have no query and no fragment' }
    return { url: href.replace(/\/+$/, '') }
  } catch (error) {
    if (!(error instanceof VestryError)) throw error
    return { problem: `is not a usable URL: ${error.message}` }
  }
}
