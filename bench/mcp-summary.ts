/** The section on MCP of docs/benchmarks.md, from what bench/mcp.ts kept. */
interface Spread {
  p50_ms: number
  p99_ms: number
}

export interface McpResult {
  commit: string
  bar: { addedP50Ms: number; verifyMs: number }
  rounds: { direct: Spread; added_p50_ms: number; endpoint_added_p50_ms: number }[]
  at_once: { calls: number; servers: number; answered: number; per_second: number }
  verification: { signature: Spread; anew: Spread; remembered: Spread }
}

export function mcpSection({
  commit,
  bar,
  rounds,
  at_once: once,
  verification,
}: McpResult): string {
  const each = (value: (round: McpResult['rounds'][number]) => number): string =>
    rounds.map((round) => value(round)).join(', ')
  return `## Calls of MCP tools

The same tool of the same server process, by the official client directly and through Vestry, in turns, one connection. Commit ${commit}.

| what | bar | measured |
|---|---|---|
| direct | – | p50 ${each(({ direct }) => direct.p50_ms)} ms |
| added by the runtime API | p50 ≤ ${bar.addedP50Ms} ms | ${each((round) => round.added_p50_ms)} ms |
| added by \`/mcp\` | p50 ≤ ${bar.addedP50Ms} ms | ${each((round) => round.endpoint_added_p50_ms)} ms |
| 200 at once over ${once.servers} servers | none lost | ${once.answered} of ${once.calls} answered, ${once.per_second}/s |
| verifying a signature | ≤ ${bar.verifyMs} ms | p50 ${verification.signature.p50_ms} ms |
| the same with its rows read again | – | p50 ${verification.anew.p50_ms} ms |
| what a call pays, remembered | – | p50 ${verification.remembered.p50_ms} ms |

`
}
