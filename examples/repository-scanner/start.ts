/**
 * Starts the scanner as a process that gets the environment of its run and nothing else of ours:
 * `node examples/repository-scanner/start.ts REGISTRATION REPOSITORY`, the first as `vestry run register --json` wrote it.
 */
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

const [registration, repository = '.'] = process.argv.slice(2)
if (registration === undefined) {
  process.stderr.write('usage: node start.ts REGISTRATION [REPOSITORY]\n')
  process.exit(2)
}
const { env } = JSON.parse(readFileSync(registration, 'utf8')) as { env: Record<string, string> }
const { PATH, NODE_OPTIONS, SAGE_LOG_LEVEL, SCAN_MAX_FILES } = process.env
const own = Object.entries({ PATH, NODE_OPTIONS, SAGE_LOG_LEVEL, SCAN_MAX_FILES }).filter(
  ([, value]) => value,
)

const agent = spawn(process.execPath, [join(import.meta.dirname, 'main.ts')], {
  env: { ...Object.fromEntries(own), ...env, REPO_PATH: resolve(repository) },
  stdio: 'inherit',
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => agent.kill(signal))
agent.on('close', (code) => {
  console.log(join(String(env['OUTPUT_PATH']), 'results.sarif'))
  process.exitCode = code ?? 1
})
