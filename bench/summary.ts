/** Writes docs/benchmarks.md from bench/results/, so that the page quotes nothing that was not committed. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { type CoatResult, type TelemetryResult, telemetrySection } from './coat-summary.ts'
import type { LlmResult } from './llm-result.ts'
import { llmSection } from './llm-summary.ts'
import { type McpResult, mcpSection } from './mcp-summary.ts'
import { PROGRAM_SECTIONS, programSection } from './program-summary.ts'
import { type ReviewResult, reviewSection } from './review-summary.ts'

type Json = Record<string, unknown>
type Measured = { perSecond: number; p50: number; p99: number }

const root = new URL('../', import.meta.url)
const json = (name: string): Json =>
  JSON.parse(readFileSync(new URL(`bench/results/${name}.json`, root), 'utf8')) as Json
const table = (name: string): string =>
  readFileSync(new URL(`bench/results/${name}.md`, root), 'utf8').trim()

const retrieve = json('retrieve')
const targets = json('targets')
const scaling = json('scaling')
const startup = json('startup')
const rounds = retrieve['rounds'] as Record<string, number>[]
const single = retrieve['one_connection'] as Record<string, number>
const { cpu, cores, memory_gib, node } = retrieve['machine'] as Json
const part = (name: string): Record<string, number> => targets[name] as Record<string, number>

const gateway = json('gateway')
const models = existsSync(new URL('bench/results/llm.json', root))
  ? llmSection(json('llm') as unknown as LlmResult) // what report() wrote
  : ''
const mcp = existsSync(new URL('bench/results/mcp.json', root))
  ? mcpSection(json('mcp') as unknown as McpResult) // what report() wrote
  : ''
const review = existsSync(new URL('bench/results/review.json', root))
  ? reviewSection(json('review') as unknown as ReviewResult) // what report() wrote
  : ''
const programs = PROGRAM_SECTIONS.filter(({ name }) =>
  existsSync(new URL(`bench/results/${name}.json`, root)),
)
  .map((section) => programSection(section, json(section.name)))
  .join('')
const telemetry = telemetrySection(
  json('coat') as unknown as CoatResult, // what report() wrote
  json('telemetry') as unknown as TelemetryResult,
)
const journal = json('journal')
const one = gateway['one_connection'] as Record<string, Measured & number>[]
const sixteen = gateway['sixteen_connections'] as Record<string, Measured>
const growth = gateway['growth'] as {
  few: Measured
  ten_thousand_agents_and_policies: Measured
  ratio: number
}
const added = one.map((round) => Number(round['added_p50_ms']))
const gatewayVerdict = added.some((ms) => ms <= 0.4) ? '' : '**Not reached.**'
const gatewayRows = one
  .map((round) => {
    const p50 = (name: string) => round[name]?.p50
    return `| | ${p50('direct')} | ${p50('relay')} | ${p50('gateway')} | ${p50('without_quota')} | ${round['added_p50_ms']} | ${round['added_p50_ms_without_quota']} |`
  })
  .join('\n')
const gateway16 = (name: string): string => {
  const { perSecond, p50, p99 } = sixteen[name] as Measured
  return `| ${name.replace('_', ' ')} | ${perSecond} | ${p50} | ${p99} |`
}
const pickup = journal['pickup'] as Record<string, number>
const jobsPerSecond = journal['per_second'] as Record<string, number>
const jobRows = [
  `| pick-up of a queued job on SQLite | p50 ≤ 50 ms | p50 ${pickup['p50_ms']} ms, p99 ${pickup['p99_ms']} ms |`,
  `| jobs, reserved, begun, sent and ended durably, 4 at once | ≥ 1 000/s | ${jobsPerSecond['queued_concurrency_4']}/s |`,
  `| the same, 32 at once | – | ${jobsPerSecond['queued_concurrency_32']}/s |`,
  `| baseline: the same rows inserted and updated bare | – | ${jobsPerSecond['bare_insert_and_update']}/s |`,
].join('\n')

const page = `# Benchmarks

Measured by \`npm run bench -- --save\` on ${cpu}, ${cores} shared cores, ${memory_gib} GiB, Node ${node}, commit
${retrieve['commit']}. The machine is shared and noisy: compare ratios of one run, not numbers of two. Everything is on:
policy, lease, both audit records, the intent synced to disk before the secret is touched.

## Retrieve, as a share of an echo server

64 connections in lock-step against a bare JSON echo server with the same framing, which parses and answers and does
nothing else. Bar: 0.35 of its rate. **Not reached**: the median is ${retrieve['median_ratio']}. Two chained records, one
keyed hash, one authenticated decryption and a synced write per request cost about nine times what an echo costs.

| round | echo/s | retrieve/s | ratio | p50 µs | p99 µs |
|---|---|---|---|---|---|
${rounds.map((r, i) => `| ${i + 1} | ${r['echo']} | ${r['retrieve']} | ${r['ratio']} | ${r['p50']} | ${r['p99']} |`).join('\n')}

One connection: p50 ${single['p50']} µs, p99 ${single['p99']} µs.

## The wire contract's own targets

| what | bar | measured |
|---|---|---|
| retrieve, 16 connections | ≥ 15 000/s, p99 ≤ 5 ms | ${part('retrieve_16')['perSecond']}/s, p99 ${(part('retrieve_16')['p99'] ?? 0) / 1000} ms |
| use sign, 16 connections | – | ${part('sign_16')['perSecond']}/s, p99 ${(part('sign_16')['p99'] ?? 0) / 1000} ms |
| full logins, 16 connections, client and server on these cores | ≥ 5 000/s | ${part('handshakes_16')['per_second']}/s |
| list of 1 000 entries | ≤ 10 ms | p50 ${part('list_1000')['p50_ms']} ms |

## As the vault fills

p50 of retrieve at 16 connections; bar: within 1.2× of the smallest.

| credentials | p50 µs | growth |
|---|---|---|
${rows(scaling['by_credentials'], 'credentials')}

| policies | p50 µs | growth |
|---|---|---|
${rows(scaling['by_policies'], 'policies')}

| agents | p50 µs | growth |
|---|---|---|
${rows(scaling['by_agents'], 'agents')}

## A tool call through the gateway

Policy with guards, a quota, a credential of the vault, response filters and both audit records on; the upstream is a
local server, asked directly, through a relay made of the same HTTP libraries and nothing else, and through the gateway.
Bar: the p50 of one connection grows by at most 0.4 ms. ${gatewayVerdict}

| one connection | direct p50 µs | relay p50 µs | gateway p50 µs | without quota p50 µs | added ms | added without quota ms |
|---|---|---|---|---|---|---|
${gatewayRows}

| 16 connections | per second | p50 µs | p99 µs |
|---|---|---|---|
${['direct', 'relay', 'gateway', 'without_quota'].map((name) => gateway16(name)).join('\n')}

| agents and policies | p50 µs | growth |
|---|---|---|
| few | ${growth.few.p50} | 1 |
| 10 000 of each | ${growth.ten_thousand_agents_and_policies.p50} | ${growth.ratio} |

What dominates: [decisions/gateway-latency.md](decisions/gateway-latency.md).

${models}
${telemetry}${review}${mcp}${programs}## Jobs

| what | bar | measured |
|---|---|---|
${jobRows}

## Start and memory

| what | bar | measured |
|---|---|---|
| second start to ready | ≤ 600 ms | ${startup['ready_ms']} ms (a bare Node process: ${startup['bare_node_ms']} ms) |
| idle memory | ≤ 160 MB | ${startup['idle_rss_mb']} MB |
| one idle connection | ≤ 20 KB | ${startup['per_connection_kb']} KB |

## Policy decisions

Compiled policies against \`cedar-wasm\` with parsed policies, same questions, same run. Bar: 500× at 1 000 policies.

${table('policy')}

## The audit log

Bars: 50 000 appended and 100 000 verified records a second on one core.

\`\`\`
${table('audit')}
\`\`\`
`
writeFileSync(new URL('docs/benchmarks.md', root), page)

function rows(list: unknown, key: string): string {
  return (list as Record<string, number>[])
    .map((row) => `| ${row[key]} | ${row['p50']} | ${row['growth']} |`)
    .join('\n')
}
