import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import type { Home } from '../../packages/server/src/app/home.ts'
import { ALL_TOOLS, type GatewayNode, startProcess } from '../gateway/world.ts'
import { operator, temporaryHome } from '../harness/boot.ts'
import { type Providers, startProviders } from '../old-clients/gateway/fake-providers.ts'

const BUDGET_MS = 50_000
const CLIENTS = 3

/** One mail under one key, as a call or as a job, and what its sender was told of it. */
interface Mail {
  readonly subject: string
  readonly async: boolean
  /** Of a call that was answered. */
  messageId?: string
  /** Of a job that was accepted. */
  jobId?: string
  /** What the gateway may not take back. */
  final?: 'sent' | 'unknown'
}

/** A seeded generator: a failing run can be repeated. */
function generator(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

const paramsOf = ({ subject }: Mail) => ({
  to: 'a@example.org',
  subject,
  body: 'Hello',
  idempotency_key: `idemp_${subject}`,
})

/** Counts, per subject, what reached the mail service. */
function counted(providers: Providers, random: () => number): Map<string, number> {
  const counts = new Map<string, number>()
  providers.become('gmail_send', ({ body }) => {
    const { raw } = JSON.parse(body) as { raw: string }
    const text = Buffer.from(raw, 'base64url').toString('utf8')
    const subject = /^Subject: (.*?)\r?$/m.exec(text)?.[1] ?? ''
    counts.set(subject, (counts.get(subject) ?? 0) + 1)
    return { slowMs: Math.floor(random() * 25) }
  })
  return counts
}

/** Sends it once; whatever the daemon's end interrupts is left for the retry. */
async function attempt(node: GatewayNode, token: string, mail: Mail): Promise<void> {
  const fields = mail.async ? { async: true } : {}
  const answer = await node.call(token, 'gmail_send:send', paramsOf(mail), fields).catch(() => null)
  if (answer === null) return
  const { status, json } = answer
  if (mail.async) {
    expect([mail.subject, status]).toEqual([mail.subject, 202])
    expect(mail.jobId ?? json.job_id).toBe(json.job_id)
    mail.jobId = json.job_id
    return
  }
  if (status === 409) {
    expect(json.code).toBe('OUTCOME_UNKNOWN')
    expect(mail.final).not.toBe('sent')
    mail.final = 'unknown'
    return
  }
  expect([mail.subject, status, json.code]).toEqual([mail.subject, 200, undefined])
  expect(mail.final).not.toBe('unknown')
  expect(mail.messageId ?? json.data.message_id).toBe(json.data.message_id)
  mail.messageId = json.data.message_id
  mail.final = 'sent'
}

/** Everything that was tried before the daemon's end, asked for again. */
async function settle(
  node: GatewayNode,
  token: string,
  mails: readonly Mail[],
  counts: ReadonlyMap<string, number>,
): Promise<void> {
  for (const mail of mails) {
    await attempt(node, token, mail)
    if (mail.async) await settleJob(node, mail)
    const reached = counts.get(mail.subject) ?? 0
    expect(reached, mail.subject).toBeLessThanOrEqual(1)
    if (mail.final === 'sent') expect(reached, mail.subject).toBe(1)
    expect(mail.final, mail.subject).toBeDefined()
  }
}

async function settleJob(node: GatewayNode, mail: Mail): Promise<void> {
  const seen = await node.follow(mail.jobId ?? '', 20_000)
  const job = seen.at(-1)
  if (job.status === 'failed') {
    expect(job).toMatchObject({ error_code: 'OUTCOME_UNKNOWN', error: expect.any(String) })
    mail.final = 'unknown'
    return
  }
  expect(job).toMatchObject({ status: 'done', error: null, result: { status: 'sent' } })
  expect(mail.messageId ?? job.result.message_id).toBe(job.result.message_id)
  mail.messageId = job.result.message_id
  mail.final = 'sent'
}

async function auditIsIntact(home: Home): Promise<void> {
  const admin = await operator(home)
  expect(await admin.call('admin.audit.verify')).toMatchObject({ status: 'intact' })
  admin.destroy()
}

test('gateway §19.22 and §19.26: however often the daemon is killed, no key is sent twice and every accepted job ends', async () => {
  const seed = Date.now() >>> 0
  const random = generator(seed)
  using home = temporaryHome()
  await using providers = await startProviders()
  const counts = counted(providers, random)
  const options = { providers, gateway: { cb_fail_threshold: 1_000, cb_bulkhead_concurrency: 64 } }
  const all: Mail[] = []
  let open: Mail[] = []
  let agentId: string | undefined
  let kills = 0
  const until = performance.now() + BUDGET_MS
  for (;;) {
    const node = await startProcess(home, options)
    await using _killed = { [Symbol.asyncDispose]: () => node.kill() }
    agentId ??= await (async () => {
      const id = await node.createAgent()
      await node.allow(id, { scopes: ALL_TOOLS })
      return id
    })()
    const token = await node.token(agentId)
    await settle(node, token, open, counts)
    open = []
    if (performance.now() > until) {
      await auditIsIntact(home)
      await node[Symbol.asyncDispose]()
      break
    }
    let killed = false
    const clients = Array.from({ length: CLIENTS }, async (_, client) => {
      for (let n = 0; !killed; n += 1) {
        const subject = `${seed}-${kills}-${client}-${n}`
        const mail: Mail = { subject, async: (client + n) % 2 === 0 }
        all.push(mail)
        open.push(mail)
        await attempt(node, token, mail)
      }
    })
    await sleep(20 + random() ** 2 * 600)
    killed = true
    await node.kill()
    await Promise.all(clients)
    kills += 1
  }
  const sent = all.filter(({ final }) => final === 'sent').length
  const unknown = all.filter(({ final }) => final === 'unknown').length
  process.stdout.write(
    `seed ${seed}: ${kills} kills, ${all.length} mails, ${sent} sent, ${unknown} unknown\n`,
  )
  expect(sent + unknown).toBe(all.length)
  expect(kills).toBeGreaterThan(5)
  expect(sent).toBeGreaterThan(unknown)
  // Nothing reached the provider but what somebody sent.
  expect([...counts.keys()].every((subject) => all.some((mail) => mail.subject === subject))).toBe(
    true,
  )
})
