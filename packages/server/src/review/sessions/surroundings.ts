/** Gathers what is known beside a tool before it is analysed. */
import type { KnownTool, ProviderKey } from '../analysis/rule.ts'
import { documentOf } from '../normalise.ts'
import type { AnalysisTask } from './analysis-threads.ts'
import type { Session } from './session.ts'
import type { SessionStore } from './session-store.ts'

export interface SurroundingsDeps {
  readonly sessions: Pick<SessionStore, 'approvedNames' | 'earlier'>
  /** Tools that MCP servers list now, and those that are built in. */
  readonly offered: () => readonly KnownTool[]
  /** Bounded in time. @param mayAsk Without it only providers are asked whose key for this tool is known already. */
  readonly providerKey: (
    url: string | null,
    toolName: string,
    mayAsk: boolean,
  ) => Promise<ProviderKey>
}

const MAX_KNOWN = 10_000
/** Documents of before that a tool is compared with. */
const MAX_EARLIER = 3

export async function taskOf(deps: SurroundingsDeps, session: Session): Promise<AnalysisTask> {
  const { name, provider } = documentOf(session.toolJson)
  const [approved, earlier, providerKey] = await Promise.all([
    deps.sessions.approvedNames(MAX_KNOWN),
    deps.sessions.earlier(session, MAX_EARLIER),
    // An agent that could name an address to be called could tell it things.
    deps.providerKey(provider.public_key_url, name, session.owner === ''),
  ])
  const knownTools = [...approved, ...deps.offered()].slice(0, MAX_KNOWN)
  return {
    toolJson: session.toolJson,
    earlierJson: earlier.map(({ toolJson }) => toolJson),
    around: {
      knownTools,
      knownProviders: [...new Set(knownTools.flatMap(({ provider: of }) => of ?? []))],
      providerKey,
    },
  }
}
