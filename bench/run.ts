/** Runs every benchmark after the other; `--save` keeps the results. `npm run bench -- retrieve` runs one. */
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'

/** These print tables; the others write their own JSON. */
const TABLES = new Set(['policy', 'audit'])
const ALL = [
  'retrieve',
  'targets',
  'scaling',
  'policy',
  'audit',
  'startup',
  'gateway',
  'llm',
  'journal',
  'dsl',
  'workflows',
  'knowledge',
  'retrieval',
  'review',
  'mcp',
  'coat',
  'telemetry',
]
const asked = process.argv.slice(2).filter((argument) => !argument.startsWith('-'))
const flags = process.argv.slice(2).filter((argument) => argument.startsWith('-'))
for (const name of asked.length > 0 ? asked : ALL) {
  process.stderr.write(`== ${name}\n`)
  const script = new URL(`./${name}.ts`, import.meta.url).pathname
  const { status, stdout } = spawnSync(
    process.execPath,
    ['--conditions=source', script, ...flags],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  process.stdout.write(stdout)
  if (flags.includes('--save') && TABLES.has(name)) {
    writeFileSync(new URL(`./results/${name}.md`, import.meta.url), stdout)
  }
  if (status !== 0) process.exitCode = 1
}
