/**
 * The main job, end to end, on a throw-away home: a daemon, an HTTP API that demands a key, and an
 * agent process that uses the key without ever holding it. Exits 0 only if every claim held.
 */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { styleText } from 'node:util'

const ROOT = resolve(import.meta.dirname, '..')
const VESTRY = join(ROOT, 'packages/server/bin/vestry.js')
const AGENT = join(ROOT, 'examples/demo/agent.ts')

const started = performance.now()
const home = mkdtempSync(join(tmpdir(), 'vestry-demo-'))
const secret = `sk-demo-${randomBytes(18).toString('base64url')}`
let step = 0

const say = (text: string): void => void process.stdout.write(`${text}\n`)
const title = (text: string): void => {
  step += 1
  say(`\n${styleText('bold', `${step}. ${text}`)}`)
}
const good = (text: string): void => say(`   ${styleText('green', '✓')} ${text}`)

function must(condition: unknown, claim: string): void {
  if (!condition) throw new Error(`this did not hold: ${claim}`)
  good(claim)
}

/** The service the agent works for: it answers whoever shows the key, and shows the key back to nobody. */
const seen: (string | undefined)[] = []
const api = createServer((request, response) => {
  seen.push(request.headers.authorization)
  const known = request.headers.authorization === `Bearer ${secret}`
  response.writeHead(known ? 200 : 401, { 'content-type': 'application/json' })
  response.end(
    JSON.stringify(known ? { invoices: [{ id: 'INV-7', total: 42 }] } : { error: 'who are you?' }),
  )
})
await new Promise<void>((ready) => api.listen(0, '127.0.0.1', ready))
const address = api.address()
const port = typeof address === 'object' && address !== null ? address.port : 0

writeFileSync(join(home, 'vestry.yaml'), 'egress: { allow_cidrs: ["127.0.0.1/32"] }\n', {
  mode: 0o600,
})
const daemon = spawn(process.execPath, [VESTRY, 'up', '--home', home, '--dev', '--port', '0'], {
  stdio: ['ignore', 'pipe', 'pipe'],
})
let daemonSaid = ''
daemon.stderr.on('data', (text: Buffer) => {
  daemonSaid += text
})

try {
  title('A daemon, an API that wants a key, an agent that has none')
  await new Promise<void>((ready, failed) => {
    createInterface({ input: daemon.stdout }).on(
      'line',
      (line) => line.startsWith('ready') && ready(),
    )
    daemon.once('exit', (code) => failed(new Error(`vestry up exited with ${code}\n${daemonSaid}`)))
  })
  const agent = JSON.parse(await vestry(['agent', 'add', 'invoice-bot', '--json'])) as {
    id: string
    key_file: string
  }
  await vestry(
    ['cred', 'add', 'billing/api_key', '--value-stdin', '--host', `127.0.0.1:${port}`, '--json'],
    secret,
  )
  good(`vestry agent add invoice-bot          ${styleText('dim', agent.id)}`)
  good(
    `vestry cred add billing/api_key       ${styleText('dim', 'sealed; read from stdin, never from argv')}`,
  )

  title('Without a policy, the agent may do nothing')
  const [refused] = await runAgent(agent.key_file)
  must(
    refused?.code === 'ACCESS_DENIED',
    `call the API       ${styleText('red', 'DENIED')}  ${short(refused?.detail)}`,
  )

  title('With a policy, it uses the key and cannot have it')
  const rules = join(home, 'rules.yaml')
  writeFileSync(rules, policyFor(port))
  await vestry(['policy', 'add', rules, '--json'])
  const snapshot = join(home, 'agent.heapsnapshot')
  const [called, read, sent, done] = await runAgent(agent.key_file, snapshot)
  const reply = called?.result as { status: number; body: string } | undefined
  must(
    reply?.status === 200,
    `call the API       ${styleText('green', `${reply?.status}`)}     ${reply?.body}`,
  )
  must(
    read?.code === 'ACCESS_DENIED',
    `read the key       ${styleText('red', 'DENIED')}  ${short(read?.detail)}`,
  )
  must(
    sent?.code === 'ACCESS_DENIED',
    `send it elsewhere  ${styleText('red', 'DENIED')}  ${short(sent?.detail)}`,
  )

  title('What happened, under one id')
  say((await vestry(['trace', String(done?.txn)])).trimEnd().replaceAll(/^/gm, '   '))

  title('Proof')
  must(seen.at(-1) === `Bearer ${secret}`, 'the API received the real key')
  const memory = readFileSync(snapshot)
  must(
    !holds(memory, secret) &&
      !holds(Buffer.from(JSON.stringify([refused, called, read, sent])), secret),
    `the key is nowhere in the agent: ${Math.round(memory.length / 2 ** 20)} MB of its heap and all its results searched`,
  )
  const log = readFileSync(join(home, 'audit/audit.jsonl'))
  must(!holds(log, secret), 'nor in the audit log')
  const verified = JSON.parse(await vestry(['audit', 'verify', '--json'])) as {
    status: string
    entries: number
  }
  must(
    verified.status === 'intact',
    `the log is intact: ${verified.entries} records, chained and signed`,
  )
  say(
    `\n${styleText('dim', `${((performance.now() - started) / 1000).toFixed(1)} s. Your turn: README.md, "Quick start".`)}`,
  )
} catch (error) {
  process.stderr.write(
    `\n${styleText('red', 'demo failed')}: ${error instanceof Error ? error.message : error}\n`,
  )
  process.exitCode = 1
} finally {
  api.close()
  if (daemon.exitCode === null) {
    const gone = new Promise((resolve) => daemon.once('exit', resolve))
    daemon.kill('SIGTERM')
    await gone
  }
  rmSync(home, { recursive: true, force: true })
}

interface Attempt {
  what: string
  ok?: boolean
  result?: unknown
  code?: string
  detail?: string
  txn?: string
}

async function runAgent(keyFile: string, snapshot?: string): Promise<Attempt[]> {
  const env = {
    PATH: process.env['PATH'],
    VAULT_SOCKET: join(home, 'run/vault.sock'),
    AGENT_KEY: keyFile,
    API_URL: `http://127.0.0.1:${port}`,
    ...(snapshot !== undefined && { SNAPSHOT: snapshot }),
  }
  const text = await run(process.execPath, [AGENT], { env })
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Attempt)
}

function vestry(args: string[], input?: string): Promise<string> {
  return run(process.execPath, [VESTRY, ...args, '--home', home], { input })
}

function run(
  command: string,
  args: string[],
  { input, env }: { input?: string | undefined; env?: NodeJS.ProcessEnv } = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: ROOT, stdio: 'pipe', ...(env && { env }) })
    let out = ''
    let complaints = ''
    child.stdout.on('data', (text: Buffer) => {
      out += text
    })
    child.stderr.on('data', (text: Buffer) => {
      complaints += text
    })
    child.once('exit', (code) => {
      if (code === 0) resolve(out)
      else
        reject(new Error(`${args.slice(1, 4).join(' ')} exited with ${code}: ${complaints || out}`))
    })
    child.stdin.end(input ?? '')
  })
}

function policyFor(apiPort: number): string {
  return `version: 1
policies:
  - name: invoice-bot-uses-billing
    principals: ["agent:invoice-bot"]
    resources: ["billing/*"]
    actions: [list, "use:http_request"]
    hosts: ["127.0.0.1:${apiPort}"]
    methods: [GET]
    allow_http: true
`
}

/** In every form memory would hold it: V8 keeps text as Latin-1 or UTF-16. */
function holds(haystack: Buffer, needle: string): boolean {
  const forms = [
    Buffer.from(needle, 'latin1'),
    Buffer.from(needle, 'utf16le'),
    Buffer.from(Buffer.from(needle).toString('hex')),
    Buffer.from(Buffer.from(needle).toString('base64')),
  ]
  return forms.some((form) => haystack.includes(form))
}

/** Only the reason: who asked for what stands beside it already. */
function short(detail: string | undefined): string {
  const reason = (detail ?? '').replace(/^.*?: /, '')
  return styleText('dim', reason)
}
