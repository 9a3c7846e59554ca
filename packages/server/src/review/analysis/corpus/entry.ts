/** What a corpus is made of: tools as somebody submits them, and what must be said of the bad ones. */
import type { Severity } from '../finding.ts'
import type { RuleExample } from '../rule.ts'

export interface CorpusTool extends RuleExample {
  /** `<family>/<tool>`, unique in its corpus. */
  readonly id: string
}

/** A tool that is an attack, and the least that has to be said of it. */
export interface AttackTool extends CorpusTool {
  /** Each of these has to be among its findings. */
  readonly caughtBy: readonly string[]
  readonly atLeast: Severity
}

/** One server's tools, by name. Each is reviewed beside the others, as it would be listed. */
export interface ServerTools {
  readonly family: string
  readonly provider: string
  /** Where the provider's key is published; by default at the provider's own well-known address. */
  readonly keyUrl?: string
  readonly tools: Readonly<Record<string, Pick<RuleExample['tool'], 'description' | 'schema'>>>
}

export function corpusOf(servers: readonly ServerTools[]): readonly CorpusTool[] {
  return servers.flatMap(({ family, provider, keyUrl, tools }) => {
    const names = Object.keys(tools)
    const public_key_url = keyUrl ?? `https://${provider}/.well-known/schemapin.json`
    return Object.entries(tools).map(([name, tool]) => ({
      id: `${family}/${name}`,
      tool: { name, ...tool, provider: { name: provider, public_key_url } },
      around: {
        knownTools: names
          .filter((other) => other !== name)
          .map((other) => ({ name: other, provider })),
      },
    }))
  })
}
