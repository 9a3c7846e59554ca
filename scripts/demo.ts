/**
 * The main job, end to end, on a throw-away home: a daemon, an HTTP API that demands a key, tools that demand
 * others, models, a tool that changes, and agent processes that use all of them without ever holding a key. Exits 0 only if every claim held.
 */
import { randomBytes } from 'node:crypto'
import { styleText } from 'node:util'
import { agentChapter } from './demo/agent-chapter.ts'
import { coatChapter } from './demo/coat-chapter.ts'
import { gatewayChapter } from './demo/gateway-chapter.ts'
import { programChapter } from './demo/program-chapter.ts'
import { startProviders } from './demo/providers.ts'
import { reviewChapter } from './demo/review-chapter.ts'
import { dim, holds, must, Stage, say, title } from './demo/stage.ts'
import { startInvoices, vaultChapter } from './demo/vault-chapter.ts'

const started = performance.now()
const made = (): string => `sk-demo-${randomBytes(18).toString('base64url')}`
const secret = made()
const keys = { search: made(), mail: made() }

try {
  using api = await startInvoices(secret)
  using providers = await startProviders()
  await using stage = new Stage(configFor(providers.url))

  await vaultChapter(stage, { secret, api })
  const told = [
    ...(await gatewayChapter(stage, { keys, seen: providers.seen })),
    ...(await agentChapter(stage)),
    ...(await coatChapter(stage, api.port)),
  ]
  const reviewed = await reviewChapter(stage)
  told.push(...reviewed.told)
  const program = await programChapter(stage)
  told.push(...program.told.map((run) => ({ what: 'program', result: JSON.stringify(run) })))

  title('Proof')
  const log = stage.read('audit/audit.jsonl')
  const answers = Buffer.from(JSON.stringify(told))
  must(
    [secret, keys.search, keys.mail, reviewed.key, program.key].every(
      (one) => !holds(log, one) && !holds(answers, one),
    ),
    'no key is in what the agents were told, nor in the audit log',
  )
  const { status, entries } = await stage.vestryJson<{ status: string; entries: number }>([
    'audit',
    'verify',
  ])
  must(
    status === 'intact',
    `the log is intact, across the kill: ${entries} records, chained and signed`,
  )
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  say(`\n${dim(`${seconds} s. Your turn: README.md, "Quick start".`)}`)
} catch (error) {
  process.stderr.write(
    `\n${styleText('red', 'demo failed')}: ${error instanceof Error ? error.message : error}\n`,
  )
  process.exitCode = 1
}

/** Everything stays on loopback. One job at a time, so that the second one waits. */
function configFor(url: string): string {
  return `egress: { allow_cidrs: ["127.0.0.1/32"] }
gateway:
  mode: live
  job_concurrency: 1
  tools:
    serpapi: { base_url: "${url}" }
    gmail_send: { base_url: "${url}" }
llm: { budgets: { run: { usd: 5 } } }
`
}
