import { once } from 'node:events'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Home } from '../../packages/server/src/app/home.ts'
import { Stretcher } from '../../packages/server/src/seal/kdf.ts'
import { openKeyring } from '../../packages/server/src/seal/keyring.ts'
import { openWithProof } from '../../packages/server/src/seal/proof.ts'
import { usableSlots } from '../../packages/server/src/seal/seal-context.ts'
import { loadSeal } from '../../packages/server/src/seal/seal-store.ts'
import { openStore } from '../../packages/server/src/store/store.ts'
import { base64, boot, operator, putCredential, putRules, temporaryHome } from '../harness/boot.ts'
import { DaemonProcess } from '../harness/daemon-process.ts'
import { newAgentKeys } from '../harness/keys.ts'
import { encode, RawClient, type RpcFailure } from '../harness/raw-client.ts'

const ALL = {
  name: 'all',
  principals: ['agent:scout'],
  resources: ['**'],
  actions: ['list', 'retrieve', 'use'],
}

test('vault §28.42: sealing under load answers every request, keeps every connection, and then locks', async () => {
  using home = temporaryHome()
  await using daemon = await boot(home)
  const admin = await operator(home)
  const scout = newAgentKeys('scout')
  await admin.call('admin.agent.add', { name: 'scout', public_key: scout.publicKeyHex })
  await putCredential(admin, 'a/b', 'the value')
  await putRules(admin, ALL)
  const clients: RawClient[] = []
  for (let n = 0; n < 8; n += 1) {
    const client = await RawClient.connect({ path: home.vaultSocket })
    await client.login(scout)
    clients.push(client)
  }
  const each = 60
  const loads = clients.map(async (client) => {
    const request = (id: number) => encode({ id, method: 'retrieve', params: { path: 'a/b' } })
    client.write(Buffer.concat(Array.from({ length: each }, (_, id) => request(id))))
    const codes: string[] = []
    const ids = new Set()
    for (let n = 0; n < each; n += 1) {
      const frame = await client.next()
      ids.add(frame?.id)
      if (frame?.result !== undefined)
        expect(Buffer.from(frame.result.value, 'hex').toString()).toBe('the value')
      codes.push(frame?.error?.code ?? 'OK')
    }
    expect(ids.size).toBe(each)
    return codes
  })
  // In the middle of it: some are answered, some are not.
  while ((clients[0]?.received ?? 0) < 5) await new Promise(setImmediate)
  await daemon.seal('under load')
  const codes = (await Promise.all(loads)).flat()
  expect(codes).toContain('OK')
  expect(codes).toContain('VAULT_LOCKED')
  for (const code of codes) expect(['OK', 'VAULT_LOCKED', 'SESSION_EXPIRED']).toContain(code)
  for (const client of clients) {
    await expect(client.call('retrieve', { path: 'a/b' })).rejects.toMatchObject({
      code: 'VAULT_LOCKED',
      error: { context: { unseal_progress: [] } },
    })
    expect(await client.call('ping')).toEqual({ pong: true })
  }
  // The same connections go on once it is open again; leases did not outlive the seal.
  const unsealer = await RawClient.connect({ path: home.adminSocket })
  await unsealer.call('admin.unseal', { keyfile_base64: keyOf(readFileSync(home.devKeyFile)) })
  const [client] = clients as [RawClient]
  await client.login(scout)
  expect(await client.call('whoami')).toMatchObject({ agent: 'scout' })
  const again = await operator(home)
  expect(await again.call('admin.lease.list')).toEqual({ leases: [], total: 0 })
  for (const open of [...clients, admin, unsealer, again]) open.destroy()
})

test('every intent of a vault that was sealed under load has its outcome', async () => {
  using home = temporaryHome()
  {
    await using daemon = await boot(home)
    const admin = await operator(home)
    const scout = newAgentKeys('scout')
    await admin.call('admin.agent.add', { name: 'scout', public_key: scout.publicKeyHex })
    await putCredential(admin, 'a/b', 'the value')
    await putRules(admin, ALL)
    const client = await RawClient.connect({ path: home.vaultSocket })
    await client.login(scout)
    for (let id = 0; id < 100; id += 1)
      client.send({ id, method: 'retrieve', params: { path: 'a/b' } })
    await client.next()
    await daemon.seal('under load')
    admin.destroy()
    client.destroy()
  }
  const open = new Set<string>()
  for (const line of readFileSync(join(home.audit, 'audit.jsonl'), 'utf8').trimEnd().split('\n')) {
    const { phase, action, request_id } = JSON.parse(line)
    if (phase === 'intent') open.add(`${action} ${request_id}`)
    if (phase === 'outcome') expect(open.delete(`${action} ${request_id}`)).toBe(true)
  }
  expect([...open]).toEqual([])
})

const PASSPHRASE = 'a passphrase of 7 odd words 91f3'
const SECRETS = ['sk-live-29dd8c-first-test-secret', 'tok_f81b-second-test-secret-0042']

test('vault §28.39: data, log and output hold no secret, no passphrase, no private key', async () => {
  using home = temporaryHome()
  const said: string[] = []
  const scout = newAgentKeys('scout')
  {
    await using daemon = await boot(home, {
      passphrase: PASSPHRASE,
      warn: (line) => said.push(line),
    })
    const admin = await operator(home)
    await admin.call('admin.agent.add', { name: 'scout', public_key: scout.publicKeyHex })
    for (const [n, secret] of SECRETS.entries()) await putCredential(admin, `team/${n}`, secret)
    await putRules(admin, ALL)
    const client = await RawClient.connect({ path: home.vaultSocket })
    await client.login(scout)
    for (const n of SECRETS.keys()) {
      await client.call('retrieve', { path: `team/${n}` })
      await client.call('use', { path: `team/${n}`, operation: 'http_header' })
      await client
        .call('use', { path: `team/${n}`, operation: 'sign', params: { data: SECRETS[n] } })
        .catch((error: RpcFailure) => error)
      await admin.call('admin.cred.reveal', { path: `team/${n}` })
    }
    await client.call('retrieve', { path: SECRETS[0] }).catch((error: RpcFailure) => error)
    await daemon.seal('halfway')
    const stranger = await RawClient.connect({ path: home.adminSocket })
    await stranger
      .call('admin.unseal', { passphrase_base64: base64(`${PASSPHRASE}!`) })
      .catch((error: RpcFailure) => error)
    await stranger.call('admin.unseal', { passphrase_base64: base64(PASSPHRASE) })
    for (const open of [admin, client, stranger]) open.destroy()
  }
  const forbidden = [...SECRETS.slice(1), PASSPHRASE, scout.seed.toString('hex')]
  const forms = forbidden.flatMap((text) => [
    text,
    base64(text).replaceAll('=', ''),
    Buffer.from(text).toString('hex'),
  ])
  for (const file of readdirSync(home.dir, { recursive: true, encoding: 'utf8' })) {
    const path = join(home.dir, file)
    if (!statSync(path).isFile()) continue
    const bytes = readFileSync(path)
    for (const form of forms) expect(bytes.includes(form), `${file} holds ${form}`).toBe(false)
    expect(bytes.includes(scout.seed), file).toBe(false)
  }
  for (const form of forms) expect(said.join('\n')).not.toContain(form)
})

test('vault §28.42: no key and no passphrase is left in the memory of a sealed daemon', async (context) => {
  if (process.platform !== 'linux') return context.skip('needs /proc/self/mem')
  using home = temporaryHome()
  const passphraseFile = join(home.dir, 'passphrase')
  writeFileSync(passphraseFile, PASSPHRASE, { mode: 0o600 })
  await using daemon = await DaemonProcess.start(home.dir, {
    passphraseFile,
    nodeArgs: ['--expose-gc'],
  })
  const admin = await operator(home)
  await putCredential(admin, 'a/b', SECRETS[0] as string)
  const { root, term } = await keysOf(home, PASSPHRASE)
  // The scan finds what is there: while the vault is open its keys are.
  const [openRoot, openTerm] = await daemon.scan([root, term])
  expect(openRoot).toBeGreaterThan(0)
  expect(openTerm).toBeGreaterThan(0)
  await daemon.seal()
  const file = join(home.dir, 'sealed.heapsnapshot')
  await daemon.snapshot(file)
  const snapshot = readFileSync(file)
  for (const [name, key] of Object.entries({ root, term, passphrase: Buffer.from(PASSPHRASE) })) {
    for (const form of ['latin1', 'hex', 'base64'] as const)
      expect(snapshot.includes(key.toString(form)), `${name} as ${form}`).toBe(false)
  }
  // Not only the heap: every writable page of the process.
  await expect.poll(() => daemon.scan([root, term]), { timeout: 10_000 }).toEqual([0, 0])
  admin.destroy()
}, 60_000)

test('vault §28.43: after 1 000 uses no secret is a string or a buffer of the heap', async () => {
  using home = temporaryHome()
  const upstream = createServer((request: IncomingMessage, response) => {
    request.resume()
    response.end(JSON.stringify({ ok: request.headers.authorization !== undefined }))
  }).listen(0, '127.0.0.1')
  await once(upstream, 'listening')
  const { port } = upstream.address() as AddressInfo
  const config = { egress: { allow_cidrs: ['127.0.0.1/32'] } }
  writeFileSync(home.config, JSON.stringify(config), { mode: 0o600 })
  await using daemon = await DaemonProcess.start(home.dir, { nodeArgs: ['--expose-gc'] })
  const admin = await operator(home)
  const scout = newAgentKeys('scout')
  await admin.call('admin.agent.add', { name: 'scout', public_key: scout.publicKeyHex })
  await putCredential(admin, 'a/b', SECRETS[0] as string, {
    settings: { allowed_hosts: [`127.0.0.1:${port}`] },
  })
  await putRules(admin, { ...ALL, hosts: [`127.0.0.1:${port}`], allow_http: true })
  const client = await RawClient.connect({ path: home.vaultSocket })
  await client.login(scout)
  const use = (params: object) => client.call('use', { path: 'a/b', ...params })
  for (let n = 0; n < 500; n += 1) {
    await use({ operation: 'sign', params: { data: 'hello', algorithm: 'hmac-sha256' } })
    await use({ operation: 'http_header' })
  }
  // No buffer either: the daemon's whole memory, before an outbound header makes its one string.
  if (process.platform === 'linux')
    expect(await daemon.scan([Buffer.from(SECRETS[0] as string)])).toEqual([0])
  const url = `http://127.0.0.1:${port}/x`
  const reply = await use({ operation: 'http_request', params: { method: 'GET', url } })
  expect(reply.status).toBe(200)
  const file = join(home.dir, 'used.heapsnapshot')
  await daemon.snapshot(file)
  const snapshot = readFileSync(file, 'utf8')
  expect(snapshot).toContain('a/b') // it is the right heap
  // Header lines of outbound requests are strings for a moment (wire contract §22.2); nothing else ever is.
  const secret = SECRETS[0] as string
  for (const form of [secret, base64(secret), Buffer.from(secret).toString('hex')])
    expect(snapshot.includes(form), form).toBe(false)
  for (const open of [admin, client]) open.destroy()
  upstream.close()
}, 60_000)

/** The raw keys of a vault, opened from its store with the passphrase. */
async function keysOf(home: Home, passphrase: string): Promise<{ root: Buffer; term: Buffer }> {
  await using store = await openStore(`sqlite:${home.store}`)
  const stored = await loadSeal(store.db)
  if (stored === undefined) throw new Error('no vault')
  const { vaultId, keyring } = stored
  const { slots } = usableSlots(stored)
  const proof = { passphrase: Buffer.from(passphrase) }
  using opened = await openWithProof(slots, proof, { vaultId, stretcher: new Stretcher() })
  if (opened === undefined) throw new Error('the passphrase does not open it')
  const root = Buffer.from(opened.root.bytes)
  const entries = openKeyring(root, vaultId, keyring)
  const term = entries.find(({ name }) => name === 'term/1')
  return { root, term: Buffer.from(term?.key.bytes ?? []) }
}

function keyOf(file: Buffer): string {
  const key = file.length === 32 ? file : Buffer.from(file.toString('latin1').trim(), 'hex')
  return key.toString('base64')
}
