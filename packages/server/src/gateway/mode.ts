/** Whether a tool's calls reach a provider, or are answered by its mock. */
import type { Gateway } from './gateway.ts'
import type { Tool } from './tools/tool.ts'

type Deps = Pick<Gateway, 'settings' | 'dev' | 'credentials'>

/** Without a mode, development mocks whatever nobody has configured; production is live. */
export async function isMocked(deps: Deps, tool: Tool): Promise<boolean> {
  const { settings, dev } = deps
  if (settings.mode !== undefined) return settings.mode === 'mock'
  return dev && !(await isConfigured(deps, tool))
}

/** True when a live call could be made. */
export async function isConfigured(
  { settings, credentials }: Deps,
  { name, credential, opensTarget }: Tool,
): Promise<boolean> {
  if (credential !== undefined) {
    const found = await credentials.find(credential.path)
    return found !== undefined && found.version > 0
  }
  if (opensTarget !== true) return true // its definition is all there is to set up
  return settings.http_fetch_allowed_domains.length > 0 || Object.hasOwn(settings.tools, name)
}

/** True when a call gets an answer: of the mock, or of a provider. */
export async function isReady(deps: Deps, tool: Tool): Promise<boolean> {
  return tool.opensTarget === true || (await isMocked(deps, tool)) || isConfigured(deps, tool)
}
