/** A key that an agent uses without holding it: denied without a policy, used with one, never read. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { denied, dim, good, holds, must, ok, type Stage, shown, title } from './stage.ts'

interface Attempt {
  what: string
  result?: unknown
  code?: string
  detail?: string
  txn?: string
}

/** The service the agent works for: it answers whoever shows the key, and shows the key back to nobody. */
export async function startInvoices(secret: string) {
  const seen: (string | undefined)[] = []
  const api = createServer((request, response) => {
    seen.push(request.headers.authorization)
    const known = request.headers.authorization === `Bearer ${secret}`
    const body = known ? { invoices: [{ id: 'INV-7', total: 42 }] } : { error: 'who are you?' }
    response.writeHead(known ? 200 : 401, { 'content-type': 'application/json' })
    response.end(JSON.stringify(body))
  })
  await new Promise<void>((ready) => api.listen(0, '127.0.0.1', ready))
  const { port } = api.address() as AddressInfo
  return { port, seen, [Symbol.dispose]: () => api.close() }
}

export async function vaultChapter(
  stage: Stage,
  { secret, api }: { secret: string; api: { port: number; seen: (string | undefined)[] } },
): Promise<void> {
  title('A daemon, an API that wants a key, an agent that has none')
  await stage.up()
  const [agent] = await Promise.all([
    stage.vestryJson<{ id: string; key_file: string }>(['agent', 'add', 'invoice-bot']),
    stage.vestry(
      ['cred', 'add', 'billing/api_key', '--value-stdin', '--host', `127.0.0.1:${api.port}`],
      secret,
    ),
  ])
  good(`vestry agent add invoice-bot          ${dim(agent.id)}`)
  good(`vestry cred add billing/api_key       ${dim('sealed; read from stdin, never from argv')}`)
  const env = {
    VAULT_SOCKET: join(stage.home, 'run/vault.sock'),
    AGENT_KEY: agent.key_file,
    API_URL: `http://127.0.0.1:${api.port}`,
  }
  const runAgent = (more = {}) => stage.agent<Attempt>('agent.ts', { ...env, ...more })

  title('Without a policy, the agent may do nothing')
  const [refused] = await runAgent()
  must(
    refused?.code === 'ACCESS_DENIED',
    `call the API       ${denied()}  ${short(refused?.detail)}`,
  )

  title('With a policy, it uses the key and cannot have it')
  await stage.vestry(['policy', 'add', stage.write('rules.yaml', policyFor(api.port))])
  const snapshot = 'agent.heapsnapshot'
  const [called, read, sent, done] = await runAgent({ SNAPSHOT: join(stage.home, snapshot) })
  const reply = called?.result as { status: number; body: string } | undefined
  must(reply?.status === 200, `call the API       ${ok(reply?.status)}     ${reply?.body}`)
  must(read?.code === 'ACCESS_DENIED', `read the key       ${denied()}  ${short(read?.detail)}`)
  must(sent?.code === 'ACCESS_DENIED', `send it elsewhere  ${denied()}  ${short(sent?.detail)}`)
  must(api.seen.at(-1) === `Bearer ${secret}`, 'the API received the real key')
  const memory = stage.read(snapshot)
  const results = Buffer.from(JSON.stringify([refused, called, read, sent]))
  must(
    !holds(memory, secret) && !holds(results, secret),
    `the key is nowhere in the agent: ${Math.round(memory.length / 2 ** 20)} MB of its heap and all its results searched`,
  )

  title('What happened, under one id')
  shown(await stage.vestry(['trace', String(done?.txn)]))
}

function policyFor(port: number): string {
  return `version: 1
policies:
  - name: invoice-bot-uses-billing
    principals: ["agent:invoice-bot"]
    resources: ["billing/*"]
    actions: [list, "use:http_request"]
    hosts: ["127.0.0.1:${port}"]
    methods: [GET]
    allow_http: true
`
}

/** Only the reason: who asked for what stands beside it already. */
function short(detail: string | undefined): string {
  return dim((detail ?? '').replace(/^.*?: /, ''))
}
