/** The section on tool review of docs/benchmarks.md, from what bench/review.ts kept. */
interface Spread {
  p50_ms: number
  p99_ms: number
  max_ms: number
}

export interface ReviewResult {
  commit: string
  bar: { ordinaryP50Ms: number; limitMs: number }
  ordinary: Spread & { tools: number }
  baseline_canonical_hash: Spread
  at_the_limits: (Spread & { make: string })[]
  growth: {
    sizes_kib: number[]
    makes: { make: string; ms: number[]; ratio_per_doubling: number }[]
  }
}

export function reviewSection(result: ReviewResult): string {
  const { bar, ordinary, baseline_canonical_hash: baseline, at_the_limits: limits, growth } = result
  const rows = growth.makes.map(({ make, ms, ratio_per_doubling }) => {
    const largest = limits.find((limit) => limit.make === make)
    const words = make.replaceAll('_', ' ')
    return `| ${words} | ${ms.join(' | ')} | ${ratio_per_doubling} | ${largest?.max_ms ?? '–'} |`
  })
  return `## Review of tools

All rules over ${ordinary.tools} ordinary tools, one by one; the baseline writes the same tools in canonical form and hashes
them. Then tools of several makes up to the size that is taken in; 2 would be linear. Commit ${result.commit}.

| what | bar | measured |
|---|---|---|
| an ordinary tool | p50 ≤ ${bar.ordinaryP50Ms} ms | p50 ${ordinary.p50_ms} ms, p99 ${ordinary.p99_ms} ms |
| baseline: canonical form and hash | – | p50 ${baseline.p50_ms} ms |
| the slowest tool at the limits | ≤ ${bar.limitMs} ms | ${Math.max(...limits.map(({ max_ms }) => max_ms))} ms |

| made of | ${growth.sizes_kib.map((kib) => `${kib} KiB, ms`).join(' | ')} | growth per doubling | slowest at the limits, ms |
|---|${growth.sizes_kib.map(() => '---|').join('')}---|---|
${rows.join('\n')}

`
}
