/** A secret sent to the wrong member, in the wrong shape or at the wrong time: it must not come back, nor stay. */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { boot, operator, putCredential, putRules, temporaryHome } from '../harness/boot.ts'
import { newAgentKeys } from '../harness/keys.ts'
import { leaksIn } from '../harness/needles.ts'
import { frameOf, RawClient } from '../harness/raw-client.ts'

const SECRET = 'Zq7x0Wm5fRk2Ld9s-live'
const hex = Buffer.from(SECRET).toString('hex')
const base64 = Buffer.from(SECRET).toString('base64')

/** Every file below a directory, as one text. */
function filesUnder(dir: string): string {
  return readdirSync(dir, { recursive: true, encoding: 'utf8' })
    .map((name) => join(dir, name))
    .filter((path) => statSync(path).isFile())
    .map((path) => readFileSync(path, 'latin1'))
    .join('\n')
}

test('a misplaced secret is in no answer, no log, no file and no warning', async () => {
  using home = temporaryHome()
  const warnings: string[] = []
  const scout = newAgentKeys('scout')
  let heard = ''
  const listen = (client: RawClient) =>
    client.socket.on('data', (chunk: Buffer) => {
      heard += chunk.toString('latin1')
    })
  {
    await using _daemon = await boot(home, { warn: (line) => void warnings.push(line) })
    const admin = await operator(home)
    listen(admin)
    await admin.call('admin.agent.add', { name: 'scout', public_key: scout.publicKeyHex })
    await putCredential(admin, 'a/key', SECRET, { type: 'signing_key' })
    await putCredential(admin, 'a/hex', SECRET, { settings: { key_encoding: 'hex' } })
    await putRules(admin, {
      name: 'use',
      principals: ['agent:*'],
      resources: ['a/**', 'new/**'],
      actions: ['use', 'store'],
      hosts: ['example.com'],
    })
    const client = await RawClient.connect({ path: home.vaultSocket })
    await client.login(scout)
    listen(client)

    const asOperator: object[] = [
      { method: 'admin.cred.put', params: { path: 'x/y', value: SECRET } },
      { method: 'admin.cred.put', params: { path: 'x/y', value_base64: `!${SECRET}` } },
      { method: 'admin.cred.put', params: { path: 'x/y', value_base64: { a: SECRET } } },
      { method: 'admin.cred.put', params: { path: 'x/y', value_base64: `${base64}\n` } },
      { method: 'admin.cred.put', params: { path: `..${SECRET}`, value_base64: base64 } },
      { method: 'admin.cred.put', params: { path: 'x/y', value_base64: base64, type: SECRET } },
      { method: 'admin.cred.put', params: { path: 'x/y', value_base64: base64, expires_at: 'x' } },
      { method: 'admin.cred.putt', params: { value_base64: base64 } },
      { method: 'admin.unseal', params: { passphrase_base64: base64 } },
      { method: 'admin.unseal', params: { passphrase: SECRET, share: SECRET } },
      { method: 'admin.passwd', params: { passphrase_base64: base64 } },
      { method: 'admin.slot.add', params: { type: 'passphrase', passphrase_base64: base64 } },
      { method: 'admin.slot.add', params: { type: 'keyfile', new_keyfile_base64: base64 } },
      { method: 'admin.audit.hash', params: { value_base64: base64 } },
      { method: 'admin.agent.add', params: { name: 'b', public_key: SECRET } },
      { method: 'admin.agent.add', params: { name: 'b', seed: SECRET, public_key: hex } },
    ]
    for (const request of asOperator) {
      admin.send({ id: 1, ...request })
      await admin.next()
    }
    const asAgent: object[] = [
      { method: 'store', params: { path: 'new/a', value: SECRET } },
      { method: 'store', params: { path: 'new/a', value: `${hex}0` } },
      { method: 'store', params: { path: 'new/a', value: [hex] } },
      { method: 'store', params: { path: '..', value: hex } },
      { method: 'store', params: { path: 'denied/a', value: hex } },
      { method: 'store', params: { path: 'new/a', value: hex, type: 'odd' } },
      { method: 'unwrap', params: { wrap_token: SECRET } },
      { method: 'release_lease', params: { lease_id: SECRET } },
      { method: SECRET, params: {} },
      use('a/key', 'sign', { data: 'x' }),
      use('a/key', 'sign', { data: 'x', algorithm: 'ecdsa-p256-sha256' }),
      use('a/key', 'sign', { data: 'x', algorithm: 'rsa-pss-sha256' }),
      use('a/key', 'verify', { data: 'x', signature: 'AAAA', algorithm: 'rsa-pkcs1-sha256' }),
      use('a/hex', 'sign', { data: 'x', algorithm: 'hmac-sha256' }),
      use('a/hex', 'decrypt', { ciphertext: SECRET }),
      use('a/key', 'http_request', { url: `https://user:${SECRET}@example.com/` }),
      use('a/key', 'http_request', { url: `https://other.test/?key=${SECRET}` }),
      use('a/key', 'http_request', { url: `https://other.test/`, headers: { 'X-Key': SECRET } }),
      use('a/key', 'http_request', { url: `https://other.test/`, body: { key: SECRET } }),
      use('a/key', 'http_request', { url: `not a url ${SECRET}` }),
    ]
    // The agent's own words may be quoted back to it, never written down: so only files count here.
    const own = heard
    for (const request of asAgent) {
      client.send({ id: 1, ...request })
      await client.next()
    }
    client.write(frameOf(Buffer.from(`{"id":1,"method":"store","params":{"value":"${hex}",`)))
    await client.next()
    expect(leaksIn(own, SECRET), 'answers to the operator').toEqual([])
    client.destroy()
    admin.destroy()
  }
  expect(leaksIn(filesUnder(home.dir), SECRET), 'files').toEqual([])
  expect(leaksIn(warnings.join('\n'), SECRET), 'warnings').toEqual([])
})

function use(path: string, operation: string, params: object): object {
  return { method: 'use', params: { path, operation, params } }
}
