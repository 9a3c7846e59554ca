import { expect, test } from 'vitest'
import { signHex } from '../harness/keys.ts'
import { frameOf, RawClient } from '../harness/raw-client.ts'
import { SECRET, startWorld } from './world.ts'

/** One frame as the client writes it: unsigned ids, `params` always there, `ttl` always an integer. */
function dialect(client: RawClient) {
  let id = 0
  return async (method: string, params: string) => {
    id += 1
    client.write(frameOf(Buffer.from(`{"id":${id},"method":"${method}","params":${params}}`)))
    const reply = await client.next()
    expect(reply?.id).toBe(id)
    return reply
  }
}

test('vault §28.14: the frames of the second dialect get the shapes that its client needs', async () => {
  await using world = await startWorld()
  const client = await RawClient.connect({ path: world.vestry.home.vaultSocket })
  const send = dialect(client)

  const early = await send('credential.list', '{}')
  expect(early?.error).toMatchObject({ code: 'SESSION_EXPIRED' })

  const offer = await send('auth.challenge', '{"agent":"my-agent"}')
  expect(offer?.result.challenge).toMatch(/^[0-9a-f]{64}$/)
  const signature = signHex(world.agent.seed, Buffer.from(offer?.result.challenge, 'hex'))
  const session = await send('auth.verify', `{"agent":"my-agent","signature":"${signature}"}`)
  expect(session?.result).toMatchObject({
    authenticated: true,
    session_id: expect.stringMatching(/^sess_/),
  })

  const got = await send('credential.retrieve', '{"path":"openai/api_key","ttl":300}')
  expect(got?.result).toMatchObject({
    path: 'openai/api_key',
    value: Buffer.from(SECRET).toString('hex'),
    lease_id: expect.stringMatching(/^lease_/),
    ttl: 300,
  })

  const list = await send('credential.list', '{}')
  expect(Array.isArray(list?.result)).toBe(true)
  expect(list?.result).toContainEqual(
    expect.objectContaining({ path: 'openai/api_key', type: 'api_key', description: null }),
  )

  const used = await send(
    'credential.use',
    '{"path":"signing/key","operation":"sign","params":{"data":"payload-to-sign"}}',
  )
  expect(used?.result).toMatchObject({
    success: true,
    output: { signature: '7aodK5C6r2OjcWtprX9OTeePz9tVXsKPx5RIPZ14ABM=' },
  })
  const header = await send(
    'credential.use',
    '{"path":"web/token","operation":"http_header","params":{}}',
  )
  expect(header?.result).toMatchObject({
    success: true,
    output: { header: 'Authorization: Bearer tok-ascii-0123456789' },
  })

  const released = await send('lease.release', `{"lease_id":"${got?.result.lease_id}"}`)
  expect(released).toHaveProperty('result')
  const refused = await send('credential.retrieve', '{"path":"other/secret","ttl":1}')
  expect(refused).not.toHaveProperty('result')
  expect(refused?.error).toMatchObject({ code: 'ACCESS_DENIED' })
  client.destroy()
})

test('vault §28.14: the second dialect can be switched off', async () => {
  await using world = await startWorld({ vault: { compat_rust: false } })
  const client = await RawClient.connect({ path: world.vestry.home.vaultSocket })
  const reply = await dialect(client)('auth.challenge', '{"agent":"my-agent"}')
  expect(reply?.error).toMatchObject({ code: 'METHOD_NOT_FOUND' })
  client.destroy()
})
