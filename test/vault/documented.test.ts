import { createPublicKey, verify } from 'node:crypto'
import { expect, test } from 'vitest'
import { canonicalJson } from '../../packages/contract/src/canonical.ts'
import { startTestDaemon, type TestDaemon } from '../harness/daemon.ts'
import { newAgentKeys } from '../harness/keys.ts'
import { RawClient } from '../harness/raw-client.ts'

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

test('operators may do what their role says', async () => {
  await using vestry = await startTestDaemon()
  await vestry.addCredential('a/b', 'some value')
  const ask = {
    read: ['admin.cred.list', {}],
    record: ['admin.audit.query', {}],
    approvals: ['admin.approval.list', {}],
    write: ['admin.cred.amend', { path: 'a/b', description: 'new' }],
    reveal: ['admin.cred.reveal', { path: 'a/b' }],
    operators: ['admin.operator.add', { name: 'x', role: 'auditor', public_key: '0'.repeat(64) }],
    prune: ['admin.audit.prune', { before: 0 }],
    seal: ['admin.seal', {}],
  } as const
  const may: Record<string, string[]> = {}
  for (const role of ['approver', 'auditor', 'admin']) {
    using client = await operator(vestry, role)
    may[role] = []
    for (const [what, [method, params]] of Object.entries(ask)) {
      const code = await client.call(method, params).then(
        () => 'OK',
        (error: { code: string }) => error.code,
      )
      if (code !== 'ACCESS_DENIED') may[role].push(what)
    }
  }
  expect(may).toEqual({
    approver: ['approvals'],
    auditor: ['read', 'record'],
    admin: ['read', 'record', 'approvals', 'write', 'reveal', 'seal'],
  })
})

async function operator(vestry: TestDaemon, role: string): Promise<RawClient & Disposable> {
  const keys = newAgentKeys(`the-${role}`)
  const params = { name: keys.name, role, public_key: keys.publicKeyHex }
  await vestry.admin.call('admin.operator.add', params)
  const client = await RawClient.connect({ path: vestry.home.adminSocket })
  await client.login({ name: keys.name, seed: keys.seed }, 'operator_name')
  return Object.assign(client, { [Symbol.dispose]: () => client.destroy() })
}
