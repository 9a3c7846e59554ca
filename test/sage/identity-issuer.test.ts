import { generateKeyPairSync } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { signJws } from '../../packages/server/src/identity/runs/jws.ts'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'

const ISSUED = 'spiffe://corp.example/ns/ci/sa/scanner'
const TYPE = 'urn:ietf:params:oauth:token-type:'
const spire = generateKeyPairSync('rsa', { modulusLength: 2_048 })

/** A SPIFFE authority with one key, whose bundle is at an address. */
async function startAuthority() {
  const seen: string[] = []
  const server = createServer((request, response) => {
    seen.push(String(request.url))
    const jwk = { ...spire.publicKey.export({ format: 'jwk' }), use: 'jwt-svid', kid: 'corp-1' }
    response.end(JSON.stringify({ keys: [jwk], spiffe_sequence: 1, spiffe_refresh_hint: 300 }))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}/bundle`,
    seen,
    [Symbol.dispose]: () => void server.close(),
  }
}

function svidOf(audience: string): string {
  const iat = Math.floor(Date.now() / 1_000)
  const claims = { sub: ISSUED, aud: audience, iat, exp: iat + 300 }
  return signJws('PS256', spire.privateKey, { kid: 'corp-1' }, claims)
}

async function exchange(vestry: TestDaemon, svid: string) {
  const reply = await fetch(`${vestry.daemon.ready.http}/token`, {
    method: 'POST',
    headers: { authorization: `Bearer ${svid}` },
    body: new URLSearchParams({
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      requested_token_type: `${TYPE}txn_token`,
      audience: 'corp.example',
      scope: 'scan.execute',
      subject_token: svid,
      subject_token_type: `${TYPE}jwt`,
    }),
  })
  return { status: reply.status, body: (await reply.json()) as Record<string, unknown> }
}

test('identities of another authority get the tokens of runs that are registered for them', async () => {
  using authority = await startAuthority()
  await using vestry = await startTestDaemon({
    config: {
      identity: { trust_domain: 'corp.example', bundle_url: authority.url, tts_audience: 'vestry' },
      egress: { allow_cidrs: ['127.0.0.1/32'] },
    },
  })
  const { name } = await vestry.addAgent('scanner')
  await vestry.admin.call('admin.run.register', {
    org_id: '1',
    agent: name,
    run_id: 'run_corp',
    spiffe_id: ISSUED,
  })
  const good = await exchange(vestry, svidOf('vestry'))
  expect(good).toMatchObject({ status: 200, body: { token_type: 'N_A' } })
  expect(await exchange(vestry, svidOf('spiffe://corp.example/tts'))).toMatchObject({
    status: 401,
    body: { error: 'invalid_client' },
  })
  expect(authority.seen).toEqual(['/bundle'])
  // Our own ones count beside them.
  const { svid } = await vestry.admin.call('admin.token.svid', {
    run: 'run_corp',
    audience: 'vestry',
  })
  expect(await exchange(vestry, svid)).toMatchObject({ status: 200 })
})

test('without a bundle nobody else is believed, and egress guards the way to it', async () => {
  using authority = await startAuthority()
  await using vestry = await startTestDaemon({
    config: { identity: { trust_domain: 'corp.example', bundle_url: authority.url } },
  })
  const refused = await exchange(vestry, svidOf('spiffe://corp.example/tts'))
  expect(refused).toMatchObject({ status: 401, body: { error: 'invalid_client' } })
  expect(authority.seen).toEqual([])
})

test('a bundle in a file and at an address is one too many', async () => {
  const identity = { bundle_file: '/tmp/bundle.json', bundle_url: 'http://127.0.0.1/bundle' }
  await expect(startTestDaemon({ config: { identity } })).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
  })
})
