/** An e-mail that goes out once, as a call and as a job. `node examples/gateway/email-engager.ts` */
import { GatewayClient, generateIdempotencyKey } from '@vestry/sdk/gateway'

const MESSAGE = {
  to: 'prospect@company.com',
  subject: 'Partnership opportunity',
  body: 'Hi there, I think we could work together...',
}

interface Sent {
  message_id: string
  status: string
}

export async function sendEmail(gw: GatewayClient) {
  // Send email (with idempotency): the key makes repeating the call harmless
  const idempotencyKey = generateIdempotencyKey()
  const params = { ...MESSAGE, idempotency_key: idempotencyKey }
  const first = await gw.proxy<Sent>('gmail_send', 'send', params)
  const again = await gw.proxy<Sent>('gmail_send', 'send', params)
  return { sent: first.message_id, same: first.message_id === again.message_id }
}

export async function sendLater(gw: GatewayClient) {
  const { jobId } = await gw.proxyAsync('gmail_send', 'send', {
    ...MESSAGE,
    idempotency_key: generateIdempotencyKey(),
  })
  const job = await gw.waitForJob<Sent>(jobId, { timeoutMs: 30_000, pollMs: 250 })
  return job.status === 'done' ? job.result?.message_id : job.error
}

if (import.meta.main) {
  await using gw = GatewayClient.fromEnvironment()
  console.log(await sendEmail(gw))
  console.log(await sendLater(gw))
}
