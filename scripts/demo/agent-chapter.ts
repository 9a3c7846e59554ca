/** An agent that reads this repository with two models: what its run lists, what it cost, what it left behind. */
import { copyFileSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative, resolve } from 'node:path'
import { denied, dim, good, must, ok, type Stage, shown, title } from './stage.ts'

interface Attempt {
  what: string
  result?: string
  code?: string
  class?: string
}

interface Report {
  runs: {
    results: {
      ruleId: string
      level: string
      locations: {
        physicalLocation: { artifactLocation: { uri: string }; region: { startLine: number } }
      }[]
    }[]
  }[]
}

interface Summary {
  usage: { model: string; calls: number; totalTokens: number }[]
  metadata: { files: number; findings: number }
}

const ROOT = resolve(import.meta.dirname, '../..')
const EXAMPLE = 'examples/repository-scanner'
const SHOWN = 3
const MICROS = 1_000_000

/** @returns All that the agents were told. */
export async function agentChapter(stage: Stage): Promise<Attempt[]> {
  title('An agent that reads this repository with two models, and has no key for either')
  await stage.vestry(['agent', 'add', 'scanner'])
  const { run_id: run, env } = await stage.vestryJson<{
    run_id: string
    env: Record<string, string>
  }>(['run', 'register', join(ROOT, EXAMPLE, 'run.json'), '--agent', 'scanner'])
  good(`vestry run register ${EXAMPLE}/run.json   ${dim(run)}`)

  await stage.program(join(EXAMPLE, 'main.ts'), {
    ...env,
    REPO_PATH: ROOT,
    SAGE_LOG_LEVEL: 'error',
  })
  const output = String(env['OUTPUT_PATH'])
  const report = JSON.parse(readFileSync(join(output, 'results.sarif'), 'utf8')) as Report
  const { usage, metadata } = JSON.parse(readFileSync(join(output, 'run.json'), 'utf8')) as Summary
  const results = report.runs[0]?.results ?? []
  const calls = usage.map(({ model, calls }) => `${calls} × ${model}`).join(', ')
  must(
    results.length === metadata.findings || results.length > 0,
    `scanned ${metadata.files} files: ${ok(`${results.length} findings`)}  ${dim(calls)}`,
  )
  for (const { ruleId, locations } of results.slice(0, SHOWN)) {
    const place = locations[0]?.physicalLocation
    good(dim(`${ruleId}  ${place?.artifactLocation.uri}:${place?.region.startLine}`))
  }
  const { budgets } = await stage.vestryJson<{
    budgets: { unit: string; spent: number; limit: number }[]
  }>(['llm', 'usage', '--run', run])
  const spent = budgets.find(({ unit }) => unit === 'micros')
  must(
    spent !== undefined && spent.spent > 0,
    `cost, of a budget of 5 dollars for the run: ${ok(`$${((spent?.spent ?? 0) / MICROS).toFixed(4)}`)}  ${dim('at list prices; a mock answered')}`,
  )
  const kept = join(tmpdir(), 'vestry-demo.sarif')
  copyFileSync(join(output, 'results.sarif'), kept)
  good(
    `report for code scanning: ${relative(process.cwd(), kept).startsWith('..') ? kept : relative(process.cwd(), kept)}`,
  )

  title('What its run does not list, and what comes after its run')
  const [listed, other] = await stage.agent<Attempt>('model-agent.ts', env)
  must(
    listed?.result !== undefined,
    `openai:gpt-4o   ${ok('ok')}      ${dim(String(listed?.result).slice(0, 60))}`,
  )
  must(other?.code === 'model_not_allowed', `openai:o3       ${denied()}  ${dim(`${other?.code}`)}`)
  await stage.vestry(['run', 'close', run])
  const after = await stage.agent<Attempt>('model-agent.ts', env)
  must(
    after.every(({ result }) => result === undefined),
    `run closed      ${denied()}  ${dim(`${after[0]?.class}`)}`,
  )

  title('One of its calls, from the run to the price')
  shown(await stage.vestry(['trace', run]))
  return [...(listed ? [listed] : []), ...(other ? [other] : []), ...after]
}
