/**
 * The other agent of the demo: it searches, writes mail and leaves jobs behind, and knows no key but its own.
 * It reports each attempt as one JSON line; started with `JOBS`, it reports how those ended.
 */
import { GatewayClient, GatewayError, generateIdempotencyKey } from '@vestry/sdk/gateway'

const { JOBS, SLOW_QUERY = '' } = process.env

let correlationId: string | undefined
await using gateway = GatewayClient.fromEnvironment(process.env, {
  defaultIntent: 'lead_discovery',
  logger: (entry) => {
    if (entry.operation === 'proxy-request') correlationId = entry.correlationId
  },
})

async function attempt(what: string, run: () => Promise<unknown>): Promise<void> {
  const outcome = await run().then(
    (result) => ({ what, result, correlationId }),
    (error: unknown) => {
      if (!(error instanceof GatewayError)) throw error
      return { what, code: error.errorCode ?? error.code, reason: error.reason ?? error.message }
    },
  )
  process.stdout.write(`${JSON.stringify(outcome)}\n`)
}

function mail(subject: string) {
  const text = { to: 'info@bakery.example', subject, body: 'Do you deliver on Sundays?' }
  return { ...text, idempotency_key: generateIdempotencyKey() }
}

async function work(): Promise<void> {
  const search = () => gateway.proxy('serpapi', 'search', { q: 'bakery in Montreal', num: 1 })
  await attempt('search', search)

  const searchOnly = { tools: ['serpapi'], permissions: ['read'], ttlMinutes: 15 }
  const token = await gateway.getToken(searchOnly)
  await attempt('mail with a token for search', () =>
    gateway.proxy('gmail_send', 'send', mail('Hello'), token),
  )

  gateway.setIntent('gossip')
  await attempt('search for other ends', search)
  gateway.setIntent('lead_discovery')

  const message = mail('Hello')
  await attempt('mail', () => gateway.proxy('gmail_send', 'send', message))
  await attempt('the same mail', () => gateway.proxy('gmail_send', 'send', message))

  const queue = async (tool: string, action: string, params: Record<string, string>) =>
    (await gateway.proxyAsync(tool, action, params)).jobId
  await attempt('a slow search', () => queue('serpapi', 'search', { q: SLOW_QUERY }))
  await attempt('a mail behind it', () => queue('gmail_send', 'send', mail('And on Mondays?')))
}

async function outcome(jobId: string): Promise<unknown> {
  const { result, error } = await gateway.waitForJob(jobId, { timeoutMs: 10_000, pollMs: 25 })
  return result ?? error
}

if (JOBS === undefined) await work()
else for (const id of JOBS.split(',')) await attempt('job', () => outcome(id))
