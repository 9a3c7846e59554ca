import { createPublicKey, verify } from 'node:crypto'
import { expect, test } from 'vitest'
import { canonicalJson } from '../../packages/contract/src/canonical.ts'
import { startTestDaemon } from '../harness/daemon.ts'

test('a checkpoint that was asked for is signed, and again when nothing is new', async () => {
  await using vestry = await startTestDaemon()
  for (let round = 0; round < 3; round += 1) {
    const head = await vestry.admin.call('admin.audit.checkpoint')
    const claim = {
      chain: head.chain,
      seq: head.seq,
      hash: head.hash,
      timestamp: head.timestamp,
    }
    const x = Buffer.from(head.public_key, 'hex').toString('base64url')
    const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' })
    const signed = Buffer.from(`envpod-audit-head-v1\0${canonicalJson(claim)}`)
    expect(verify(null, signed, key, Buffer.from(head.signature, 'base64'))).toBe(true)
    const line = vestry.auditLines().map((text) => JSON.parse(text))[head.seq - 1]
    expect(line).toMatchObject({ seq: head.seq, hash: head.hash })
  }
  expect((await vestry.admin.call('admin.audit.verify')).status).toBe('intact')
})

test('a rule that sends and names no host is a warning where a credential names hosts, else refused', async () => {
  await using vestry = await startTestDaemon()
  const rule = {
    name: 'bound-by-the-credential',
    principals: ['agent:scout'],
    resources: ['github/*'],
    actions: ['use:http_request'],
  }
  await expect(vestry.addPolicy(rule)).rejects.toMatchObject({ code: 'POLICY_INVALID' })
  await vestry.addCredential('github/token', 'ghp_0123456789abcdef', {
    settings: { allowed_hosts: ['api.github.com'] },
  })
  expect(await vestry.addPolicy(rule)).toMatchObject({
    created: ['vault:bound-by-the-credential'],
    warnings: [expect.stringContaining('only hosts that a credential itself allows')],
  })
})
