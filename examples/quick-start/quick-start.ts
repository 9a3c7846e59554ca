/**
 * The quick start of README.md, run as it is written there, in a throw-away folder:
 *
 *     npx node examples/quick-start/quick-start.ts [--host HOST]
 *
 * Commands and code are read out of README.md. `--host` puts another server in the place of
 * api.openai.com, `--vestry` another build in the place of the installed one. Exits 0 only if every
 * command did what the README says.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'

const ROOT = resolve(import.meta.dirname, '../..')
const SECRET = 'sk-not-a-real-key'

const { values: options } = parseArgs({
  options: {
    host: { type: 'string', default: 'api.openai.com' },
    vestry: { type: 'string', default: join(ROOT, 'packages/server/bin/vestry.js') },
  },
})

const section = quickStart(readFileSync(join(ROOT, 'README.md'), 'utf8'))
const [start, ...commands] = fences(section, 'sh')
const [agent] = fences(section, 'ts')
if (start === undefined || commands.length === 0 || agent === undefined) {
  throw new Error('README.md has no quick start of the expected form')
}

const folder = mkdtempSync(join(tmpdir(), 'vestry-quick-start-'))
const path = commandPath(folder, options.vestry)
const env = { ...process.env, PATH: `${path}:${process.env['PATH']}` }
// The agent's code imports the client by its name.
symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'))

const daemon = spawn('sh', ['-e', '-c', start], {
  cwd: folder,
  // The README leaves the port to the default; here another daemon may have it.
  env: { ...env, VESTRY_HTTP_PORT: '0' },
  stdio: ['ignore', 'pipe', 'inherit'],
  detached: true,
})

try {
  await ready()
  must(true, 'the daemon is up')

  const last = commands.length - 1
  let said = ''
  for (const [at, command] of commands.entries()) {
    const { code, stdout } = await shell(command)
    // "policy test" closes the last block: exit code 3 says that it was reached, and that the answer is no.
    must(code === (at === last ? 3 : 0), `the commands ran: exit code ${code}`)
    said += stdout
  }
  must(said.includes('DENY'), 'reading the key is denied, and the reason is shown')
  must(!said.includes(SECRET), 'no command showed the key')

  writeFileSync(join(folder, 'agent.ts'), agent)
  const { code, stdout, stderr } = await run(process.execPath, ['agent.ts'])
  const [status = '', refusal] = stdout.split('\n')
  must(/^\d{3}$/.test(status), `the agent used the key: the upstream answered ${status}`)
  must(code === 0 && refusal === 'ACCESS_DENIED', 'the agent may not have the key: ACCESS_DENIED')
  must(!(stdout + stderr).includes(SECRET), 'and did not see it')

  for (const command of looks(section)) {
    const look = await shell(`export VESTRY_HOME=./my-vestry; ${await filled(command)}`)
    must(look.code === 0, `${command}: ${look.stdout.trim().split('\n')[0]}`)
  }
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`)
  process.exitCode = 1
} finally {
  const gone = new Promise((done) => daemon.once('close', done))
  if (daemon.exitCode === null) {
    if (daemon.pid !== undefined) process.kill(-daemon.pid, 'SIGTERM')
    await gone
  }
  rmSync(folder, { recursive: true, force: true })
}

function quickStart(readme: string): string {
  const from = readme.indexOf('## Quick start')
  const to = readme.indexOf('\n## ', from + 1)
  return readme.slice(from, to).replaceAll('api.openai.com', options.host)
}

/** The bodies of all fenced blocks of one language, in order. */
function fences(text: string, language: string): string[] {
  const pattern = new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'gm')
  return [...text.matchAll(pattern)].map((match) => match[1] ?? '')
}

/** Commands in running text, such as `npx vestry audit tail`. */
function looks(text: string): string[] {
  const prose = text.replaceAll(/^```[\s\S]*?^```$/gm, '')
  return [...prose.matchAll(/`(npx vestry [^`]+)`/g)].map((match) => match[1] ?? '')
}

/** Puts ids of what really happened in the place of `<txn>` and `<decision>`. */
async function filled(command: string): Promise<string> {
  if (!command.includes('<')) return command
  const tail = 'npx vestry audit query --agent scout --json'
  const { stdout } = await shell(`export VESTRY_HOME=./my-vestry; ${tail}`)
  const { records } = JSON.parse(stdout) as {
    records: { txn?: string; decision?: { id: string } }[]
  }
  const txn = records.find((record) => record.txn !== undefined)?.txn
  const decision = records.find((record) => record.decision !== undefined)?.decision?.id
  if (txn === undefined || decision === undefined) throw new Error('the record names no ids')
  return command.replace('<txn>', txn).replace('<decision>', decision)
}

/** A folder with an `npx` that runs this build, as `npx` does inside of the repository. */
function commandPath(inside: string, main: string): string {
  const directory = mkdtempSync(join(inside, 'bin-'))
  const script = `#!/bin/sh\nshift\nexec '${process.execPath}' '${main}' "$@"\n`
  writeFileSync(join(directory, 'npx'), script, { mode: 0o755 })
  return directory
}

function ready(): Promise<void> {
  return new Promise((done, failed) => {
    let said = ''
    daemon.stdout.on('data', (text: Buffer) => {
      said += text
      if (/^ready /m.test(said)) done()
    })
    daemon.once('exit', (code) => failed(new Error(`the daemon ended with ${code}`)))
  })
}

function shell(command: string): Promise<{ code: number | null; stdout: string; stderr: string }> {
  return run('sh', ['-e', '-c', command])
}

function run(
  file: string,
  args: readonly string[],
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  return new Promise((done, failed) => {
    const child = spawn(file, args, { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] })
    let stdout = ''
    let stderr = ''
    child.stdout.on('data', (text: Buffer) => {
      stdout += text
    })
    child.stderr.on('data', (text: Buffer) => {
      stderr += text
    })
    child.once('error', failed)
    child.once('close', (code) => done({ code, stdout, stderr }))
  })
}

function must(holds: boolean, claim: string): void {
  if (!holds) throw new Error(`this did not hold: ${claim}`)
  process.stdout.write(`✓ ${claim}\n`)
}
