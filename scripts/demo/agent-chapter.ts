/** An agent that reads this repository with two models: what it may use, what it cost, what it left behind. */
import { copyFileSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { denied, dim, good, must, ok, type Stage, shown, title } from './stage.ts'

interface Attempt {
  what: string
  result?: string
  code?: string
  class?: string
}

interface Place {
  physicalLocation: { artifactLocation: { uri: string }; region: { startLine: number } }
}

interface Report {
  runs: {
    results: { ruleId: string; locations: Place[] }[]
    invocations: { toolExecutionNotifications?: { message: { text: string } }[] }[]
  }[]
}

interface Summary {
  usage: { model: string; calls: number }[]
  metadata: { files: number }
}

interface Recorded {
  phase: string
  request_id: string
}

const ROOT = resolve(import.meta.dirname, '../..')
const EXAMPLE = 'examples/repository-scanner'
/** A file that may not leave ends the scan with "forbidden"; the others are scanned all the same. */
const ALL_OR_SOME = [0, 20]
/** So that the demo stays a matter of seconds; the samples are among them. */
const SCAN_MAX_FILES = '150'
const SHOWN = 3
const MICROS = 1_000_000

/** @returns All that the agents were told. */
export async function agentChapter(stage: Stage): Promise<Attempt[]> {
  title('An agent that reads this repository with two models, whose keys it has not')
  await stage.vestry(['agent', 'add', 'scanner'])
  const { run_id: run, env } = await stage.vestryJson<{
    run_id: string
    env: { [name: string]: string; OUTPUT_PATH: string }
  }>(['run', 'register', join(ROOT, EXAMPLE, 'run.json'), '--agent', 'scanner'])
  good(`vestry run register run.json            ${dim(run)}`)
  await stage.program(
    join(EXAMPLE, 'main.ts'),
    { ...env, REPO_PATH: ROOT, SCAN_MAX_FILES, SAGE_LOG_LEVEL: 'error' },
    ALL_OR_SOME,
  )
  await tellReport(stage, run, env.OUTPUT_PATH)

  title('What its run does not list, and what comes after its run')
  const [listed, other] = await stage.agent<Attempt>('model-agent.ts', env)
  must(listed?.result !== undefined, `openai:gpt-4o  ${ok('ok')}      ${dim(listed?.result ?? '')}`)
  must(other?.code === 'model_not_allowed', `openai:o3      ${denied()}  ${dim(other?.code ?? '')}`)
  const { records } = await stage.vestryJson<{ records: Recorded[] }>([
    ...['audit', 'query', '--action', 'llm.chat', '--txn', run, '--limit', '8'],
  ])
  const call = records.findLast(({ phase }) => phase === 'outcome')
  await stage.vestry(['run', 'close', run])
  const after = await stage.agent<Attempt>('model-agent.ts', env)
  must(
    after.every(({ result }) => result === undefined),
    `run closed     ${denied()}  ${dim(after[0]?.code ?? after[0]?.class ?? '')}`,
  )

  title('One of its calls, with tokens and price')
  shown(await stage.vestry(['trace', String(call?.request_id)]))
  return [listed, other, ...after].filter((attempt) => attempt !== undefined)
}

async function tellReport(stage: Stage, run: string, output: string): Promise<void> {
  const json = <T>(name: string) => JSON.parse(readFileSync(join(output, name), 'utf8')) as T
  const { runs } = json<Report>('results.sarif')
  const { usage, metadata } = json<Summary>('run.json')
  const results = runs[0]?.results ?? []
  must(
    results.length > 0,
    `${metadata.files} files scanned: ${ok(`${results.length} findings`)}  ${dim(usage.map(({ model, calls }) => `${calls} × ${model}`).join(', '))}`,
  )
  const known = results.filter(({ locations: [place] }) =>
    place?.physicalLocation.artifactLocation.uri.startsWith(`${EXAMPLE}/sample/`),
  )
  must(known.length >= SHOWN, 'among them those of a sample with known weaknesses:')
  for (const { ruleId, locations } of known.slice(0, SHOWN)) {
    const { artifactLocation, region } = locations[0]?.physicalLocation ?? {}
    good(dim(`  ${artifactLocation?.uri}:${region?.startLine}  ${ruleId}`))
  }
  const notices = runs[0]?.invocations[0]?.toolExecutionNotifications ?? []
  const kept = notices.filter(({ message }) => message.text.includes('dlp_blocked')).length
  if (kept > 0) good(`${kept} files hold what looks like a key, in tests: they did not leave`)
  const { budgets } = await stage.vestryJson<{
    budgets: { unit: string; spent: number; limit: number }[]
  }>(['llm', 'usage', '--run', run])
  const { spent = 0, limit = 0 } = budgets.find(({ unit }) => unit === 'micros') ?? {}
  const dollars = (micros: number) => `$${(micros / MICROS).toFixed(2)}`
  must(
    spent > 0 && spent < limit,
    `spent ${ok(dollars(spent))} of ${dollars(limit)}  ${dim('at list prices; it was a mock that answered')}`,
  )
  const copy = join(tmpdir(), 'vestry-demo.sarif')
  copyFileSync(join(output, 'results.sarif'), copy)
  good(`report for code scanning: ${copy}`)
}
