/** The section on telemetry of docs/benchmarks.md, from what bench/coat.ts and bench/telemetry.ts kept. */
interface Measured {
  p50_us: number
  p99_us: number
  cpu_us_per_call: number
  heap_growth_mib: number
}

export interface CoatResult {
  commit: string
  rounds: (Record<'bare' | 'otel' | 'none' | 'redacted' | 'tie' | 'disabled', Measured> & {
    ratio_p50: number
    ratio_cpu: number
  })[]
  million_calls: Measured
  twenty_thousand_events: { baseline_loop_delay_p99_ms: number; loop_delay_p99_ms: number }
  collector_stalled: {
    seconds: number
    p99_us_before: number
    p99_us: number
    dropped: { lifecycle: number; detail: number }
  }
}

export interface TelemetryResult {
  at_10_000_a_second: { emitted: number; stored: number }
  flood_per_second: number[]
}

export function telemetrySection(coat: CoatResult, telemetry: TelemetryResult): string {
  const { rounds, million_calls, twenty_thousand_events: loop, collector_stalled: stall } = coat
  const all = (of: (round: CoatResult['rounds'][number]) => number): string =>
    rounds.map((round) => Number(of(round).toPrecision(3))).join(' · ')
  const met = (bar: number, of: (round: CoatResult['rounds'][number]) => number): string =>
    median(rounds.map(of)) <= bar ? '' : ' **not reached**'
  const row = (what: string, bar: string, figures: string): string =>
    `| ${what} | ${bar} | ${figures} |`
  const later = loop.loop_delay_p99_ms - loop.baseline_loop_delay_p99_ms
  const { emitted, stored } = telemetry.at_10_000_a_second
  return `## Telemetry

A wrapped synchronous function, two events a call, 4 000 calls a second in bursts of 32, sent to a real daemon; against a span of
OpenTelemetry with batching and its exporter, in the same run, sent to a server that throws it away. One figure per round, commit
${coat.commit}. The cost counts everything the process does for a call, writing out included, less that of the bare call.

${[
  '| what | bar | measured |',
  '|---|---|---|',
  row(
    'cost of a call, capture none, as a share of an OpenTelemetry span',
    '≤ 1.5',
    all((r) => r.ratio_cpu) + met(1.5, (r) => r.ratio_cpu),
  ),
  row(
    'the same, only the time inside of the call, p50',
    '–',
    all((r) => r.ratio_p50),
  ),
  row('capture none, p50 µs', '≤ 8', all((r) => r.none.p50_us) + met(8, (r) => r.none.p50_us)),
  row('capture none, p99 µs', '≤ 30', all((r) => r.none.p99_us) + met(30, (r) => r.none.p99_us)),
  row(
    'OpenTelemetry span, p50 and p99 µs',
    '–',
    `${all((r) => r.otel.p50_us)}; ${all((r) => r.otel.p99_us)}`,
  ),
  row(
    'redacted, 2 KiB of arguments, p50 µs',
    '≤ 60',
    all((r) => r.redacted.p50_us) + met(60, (r) => r.redacted.p50_us),
  ),
  row('tie, p50 µs', '≤ 5', all((r) => r.tie.p50_us) + met(5, (r) => r.tie.p50_us)),
  row(
    'disabled, p50 µs',
    '≤ 0.3',
    all((r) => r.disabled.p50_us) + met(0.3, (r) => r.disabled.p50_us),
  ),
  row('heap after a million calls', '≤ 2 MiB', `${million_calls.heap_growth_mib} MiB`),
  row(
    'event loop at 20 000 events a second, p99',
    '≤ 5 ms later',
    `${later.toPrecision(3)} ms later${later <= 5 ? '' : ' **not reached**'}`,
  ),
  row(
    `collector stopped for ${stall.seconds} s under 5 000 events a second, p99 of a call`,
    '≤ 1 ms more',
    `${stall.p99_us} µs, ${stall.p99_us_before} µs before`,
  ),
  row('events stored of those emitted, 10 000 a second', 'all', `${stored} of ${emitted}`),
  row(
    'envelopes a second that one connection brings into the chained log',
    '≥ 20 000',
    telemetry.flood_per_second.map((rate) => Math.round(rate)).join(' · '),
  ),
].join('\n')}

`
}

function median(figures: readonly number[]): number {
  return figures.toSorted((one, other) => one - other)[Math.floor(figures.length / 2)] ?? 0
}
