/** The operations of `use`, typed: the secret stays in the vault. `node examples/vault/operations.ts` */
import { SanctumClient } from '@vestry/sdk/vault'
import { type ExampleTarget, targetOf } from './target.ts'

export async function operations(
  { agent, socketPath, keyPath, credential }: ExampleTarget,
  url: string,
) {
  await using client = new SanctumClient(agent, { socketPath, keyPath })
  await client.connect()

  const signed = await client.sign(credential, 'data-to-sign', { algorithm: 'hmac-sha256' })
  const valid = await client.verify(credential, 'data-to-sign', signed.signature)

  const { ciphertext } = await client.encrypt(credential, 'sensitive data', { context: 'row 7' })
  const { plaintext } = await client.decrypt(credential, ciphertext, { context: 'row 7' })

  const access = await client.checkAccess(credential, {
    operation: 'http_request',
    params: { url, method: 'POST' },
  })
  const response = await client.httpRequest(
    credential,
    { url, method: 'POST', body: { prompt: 'hello' }, headerType: 'bearer', timeoutMs: 10_000 },
    { reason: 'operations example', idempotent: true },
  )
  return { valid, plaintext, allowed: access.allowed, status: response.status }
}

/** `http_header` hands the secret out: only for clients that must send the request themselves. */
export async function header({ agent, socketPath, keyPath, credential }: ExampleTarget) {
  await using client = new SanctumClient(agent, { socketPath, keyPath })
  await client.connect()
  const { header_name, header_value } = await client.httpHeader(credential, {
    headerType: 'custom',
    headerName: 'X-Token',
    headerPrefix: 'Token ',
  })
  return new Headers([[header_name, header_value]])
}

if (import.meta.main) {
  const url = process.argv[2] ?? 'https://api.openai.com/v1/models'
  console.log(await operations(targetOf(process.env), url))
}
