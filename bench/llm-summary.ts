/** The section of docs/benchmarks.md about model calls, made of what `bench/llm.ts` saved. */
import type { LlmResult } from './llm-result.ts'

const ADDED_BAR_MS = 0.4
const TIMES_BAR = 5

export function llmSection({
  rival,
  one_caller,
  sixteen_callers,
  streams,
  memory,
  tokens,
}: LlmResult) {
  const reachedAdded = one_caller.rounds.some(({ added_p50_ms }) => added_p50_ms <= ADDED_BAR_MS)
  const reachedTimes = sixteen_callers.rounds.some(
    ({ times_portkey }) => times_portkey !== undefined && times_portkey >= TIMES_BAR,
  )
  return `## A model call through the gateway

Both tokens of a run verified, policy, a credential of the vault and both audit records on; the upstream is a local server.
As the published client does it, every call has a connection of its own, also those without the gateway; "kept" are calls
on a connection that stays. Bars: the p50 of one caller grows by at most ${ADDED_BAR_MS} ms (${verdict(reachedAdded)}); with 16
callers ${TIMES_BAR} times as many calls as \`${rival}\`, which has neither policy nor audit (${verdict(reachedTimes)}).

| one caller | direct p50 µs | direct, kept | gateway | over TCP | with budgets | rival | rival, kept | added ms |
|---|---|---|---|---|---|---|---|---|
${one_caller.rounds
  .map(
    (round, n) =>
      `| ${n + 1} | ${[
        round.direct,
        round.direct_kept,
        round.gateway,
        round.gateway_over_tcp,
        round.gateway_with_budgets,
        round.portkey,
        round.portkey_kept,
      ]
        .map((one) => one?.p50 ?? '–')
        .join(' | ')} | ${round.added_p50_ms} |`,
  )
  .join('\n')}

| 16 callers | direct per second | gateway | with budgets | rival | rival, kept | times the rival |
|---|---|---|---|---|---|---|
${sixteen_callers.rounds
  .map(
    (round, n) =>
      `| ${n + 1} | ${[
        round.direct,
        round.gateway,
        round.gateway_with_budgets,
        round.portkey,
        round.portkey_kept,
      ]
        .map((one) => one?.perSecond ?? '–')
        .join(' | ')} | ${round.times_portkey ?? '–'} |`,
  )
  .join('\n')}

| ${streams.at_once} streams at once | first event p50 µs | p99 | whole p50 µs | per second |
|---|---|---|---|---|
${(['direct', 'gateway'] as const)
  .map((name) => {
    const { first, whole, perSecond } = streams[name]
    return `| ${name} | ${first.p50} | ${first.p99} | ${whole.p50} | ${perSecond} |`
  })
  .join('\n')}

Memory before, in the middle and after ${memory.streams} streams: ${memory.rss_mib_before}, ${memory.rss_mib_after_half} and
${memory.rss_mib_after} MiB. Both tokens of a run: signed in ${tokens.issue_both_p50_us} µs, verified in ${tokens.verify_both_first_p50_us} µs the first
time and in ${tokens.verify_both_again_p50_us} µs after that.

What dominates: [decisions/model-call-rate.md](decisions/model-call-rate.md).

`
}

function verdict(reached: boolean): string {
  return reached ? 'reached' : '**not reached**'
}
