import { createPublicKey, generateKeyPairSync, verify } from 'node:crypto'
import {
  chmodSync,
  mkdirSync,
  mkdtempDisposableSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import { testGuard, testKeyring } from '../../identity/test-keys.ts'
import { readToolJson } from '../../json/number-tokens.ts'
import { disposeEntries, newEntries, newTermEntry, OpenKeyring } from '../../seal/keyring.ts'
import { recordTerm } from '../../seal/record.ts'
import { eachStore } from '../../store/test-store.ts'
import { toolDocument } from '../normalise.ts'
import { SigningKeys } from './key-store.ts'
import { Signatures } from './signatures.ts'
import { FLOAT_WARNING, signedTool } from './signed-tool.ts'
import { discoveryDocument, domainFor, revocationDocument } from './well-known.ts'

const keyring = testKeyring()
const guard = testGuard(keyring)
const failing = (code: string, text = '') =>
  expect.objectContaining({ code, message: expect.stringContaining(text) })
const IDENTITY = { domain: 'tools.example', developerName: 'Ada' }
const tool = (description = 'Adds', maximum = '1') =>
  toolDocument(
    readToolJson(
      Buffer.from(
        `{"name":"sum","description":"${description}","provider":{"name":"maths"},"schema":{"properties":{"a":{"type":"number","maximum":${maximum}}}}}`,
      ),
    ),
  )
const newPem = (namedCurve = 'prime256v1') =>
  generateKeyPairSync('ec', { namedCurve })
    .privateKey.export({ format: 'pem', type: 'pkcs8' })
    .toString()

eachStore('signing keys', (at) => {
  let keys: SigningKeys
  let nowMs: number
  beforeEach(() => {
    nowMs = 1_900_000_000_000
    keys = new SigningKeys({ store: at.store, guard, keys: () => keyring, now: () => nowMs })
  })

  it('begin with one called default, made once', async () => {
    using dir = mkdtempDisposableSync(join(tmpdir(), 'keys-'))
    const [made, ...more] = await keys.open(IDENTITY, join(dir.path, 'none'))
    expect(made?.value).toMatchObject({ id: 'default', ...IDENTITY, revoked: undefined })
    expect(made).toMatchObject({ imported: false, generation: await at.store.generation() })
    expect(more).toEqual([])
    expect(await keys.open(IDENTITY, dir.path)).toEqual([])
    expect(await keys.list()).toEqual([made?.value])
  })

  it('sign in both profiles, and the private half is nowhere in clear', async () => {
    const { value: key } = await keys.add({ id: 'release', ...IDENTITY })
    const { signature } = await keys.sign('release', '{}', 'B')
    const ok = verify(
      'sha256',
      Buffer.from('{}'),
      createPublicKey(key.publicKeyPem),
      Buffer.from(signature, 'base64'),
    )
    expect(ok).toBe(true)
    expect(JSON.stringify(await keys.list())).not.toContain('PRIVATE')
    await expect(keys.add({ id: 'release', ...IDENTITY })).rejects.toEqual(
      failing('ALREADY_EXISTS'),
    )
    await expect(keys.sign('other', '{}', 'A')).rejects.toEqual(failing('SIGNING_KEY_NOT_FOUND'))
  })

  it('that were sealed under an older term key sign on, after a restart too', async () => {
    const entries = newEntries(0)
    const ring = new OpenKeyring(keyring.vaultId, entries)
    const on = (keys: OpenKeyring) =>
      new SigningKeys({ store: at.store, guard: testGuard(keys), keys: () => keys, now: () => 0 })
    await on(ring).add({ id: 'old', ...IDENTITY })
    entries.push(newTermEntry(2, 0))
    ring.adopt(entries)
    expect(ring.term).toBe(2)
    await on(ring).add({ id: 'new', ...IDENTITY })
    const rows = await at.store.db.selectFrom('signing_key').selectAll().execute()
    const terms = rows.map(({ id, private_key }) => [id, recordTerm(private_key)])
    expect(Object.fromEntries(terms)).toEqual({ old: 1, new: 2 })
    for (const keys of [ring, new OpenKeyring(keyring.vaultId, entries)]) {
      expect((await on(keys).sign('old', '{}', 'A')).key.id).toBe('old')
      expect((await on(keys).sign('new', '{}', 'A')).key.id).toBe('new')
    }
    disposeEntries(entries)
  })

  it('that are revoked sign nothing more, and stay revoked as they were', async () => {
    await keys.add({ id: 'release', ...IDENTITY })
    const { value } = await keys.revoke('release', 'key_compromise')
    expect(value.revoked).toEqual({ at: nowMs, reason: 'key_compromise' })
    nowMs += 1_000
    expect((await keys.revoke('release', 'superseded')).value).toEqual(value)
    await expect(keys.sign('release', '{}', 'A')).rejects.toEqual(
      failing('INVALID_STATE_TRANSITION', 'revoked'),
    )
    await expect(keys.revoke('other', 'superseded')).rejects.toEqual(
      failing('SIGNING_KEY_NOT_FOUND'),
    )
  })

  it('that were altered in the database are refused, and so are keys put under another name', async () => {
    await keys.add({ id: 'one', ...IDENTITY })
    await keys.add({ id: 'two', domain: 'other.example', developerName: 'Dana' })
    const revive = { status: 'active' as const, domain: 'evil.example' }
    await at.store.write((trx) =>
      trx.updateTable('signing_key').set(revive).where('id', '=', 'one').execute(),
    )
    await expect(keys.list()).rejects.toEqual(failing('STORE_CORRUPT'))
    await expect(keys.sign('one', '{}', 'A')).rejects.toEqual(failing('SIGNING_FAILED'))
    await expect(keys.revoke('one', 'superseded')).rejects.toEqual(failing('STORE_CORRUPT'))
    // A right MAC over another key's sealed half: the seal itself knows its place.
    const rows = await at.store.db.selectFrom('signing_key').selectAll().execute()
    const two = rows.find(({ id }) => id === 'two')
    const one = rows.find(({ id }) => id === 'one')
    if (one === undefined || two === undefined) throw new Error('no rows')
    const { mac: _mac, ...facts } = { ...two, private_key: one.private_key }
    const forged = { ...facts, mac: guard.mac('signing_key', 'two', facts) }
    await at.store.write((trx) =>
      trx.updateTable('signing_key').set(forged).where('id', '=', 'two').execute(),
    )
    await expect(keys.sign('two', '{}', 'A')).rejects.toEqual(failing('SIGNING_FAILED'))
  })

  it('of a public half that does not belong to them sign nothing', async () => {
    const { value: other } = await keys.add({ id: 'other', ...IDENTITY })
    await keys.add({ id: 'release', ...IDENTITY })
    const row = await at.store.db
      .selectFrom('signing_key')
      .selectAll()
      .where('id', '=', 'release')
      .executeTakeFirstOrThrow()
    const { mac: _mac, ...facts } = { ...row, public_key_pem: other.publicKeyPem }
    const forged = { ...facts, mac: guard.mac('signing_key', 'release', facts) }
    await at.store.write((trx) =>
      trx.updateTable('signing_key').set(forged).where('id', '=', 'release').execute(),
    )
    await expect(keys.sign('release', '{}', 'A')).rejects.toEqual(failing('SIGNING_FAILED'))
  })

  describe('from files', () => {
    it('come in once, under the name of the file, and default can be one', async () => {
      using dir = mkdtempDisposableSync(join(tmpdir(), 'keys-'))
      const pem = newPem()
      writeFileSync(join(dir.path, 'default.pem'), pem, { mode: 0o600 })
      writeFileSync(join(dir.path, 'notes.txt'), 'x', { mode: 0o644 })
      const added = await keys.open(IDENTITY, dir.path)
      expect(added.map(({ value, imported }) => [value.id, imported])).toEqual([['default', true]])
      const { signature } = await keys.sign('default', '{}', 'B')
      expect(
        verify('sha256', Buffer.from('{}'), createPublicKey(pem), Buffer.from(signature, 'base64')),
      ).toBe(true)
      expect(await keys.open(IDENTITY, dir.path)).toEqual([])
      await keys.revoke('default', 'superseded')
      await keys.open(IDENTITY, dir.path)
      expect((await keys.named('default')).revoked).toBeDefined()
      writeFileSync(join(dir.path, 'default.pem'), newPem())
      await expect(keys.open(IDENTITY, dir.path)).rejects.toEqual(
        failing('CONFIG_INVALID', 'is not the signing key'),
      )
    })

    it('come in once where two nodes with the same file begin together', async () => {
      using dir = mkdtempDisposableSync(join(tmpdir(), 'keys-'))
      writeFileSync(join(dir.path, 'release.pem'), newPem(), { mode: 0o600 })
      const added = await Promise.all([1, 2, 3].map(() => keys.open(IDENTITY, dir.path)))
      expect(
        added
          .flat()
          .map(({ value }) => value.id)
          .sort(),
      ).toEqual(['default', 'release'])
    })

    it.each([
      ['others may read', 'may be read by others', newPem(), 0o644, 'release.pem'],
      [
        'are on another curve',
        'is no P-256 private key',
        newPem('secp384r1'),
        0o600,
        'release.pem',
      ],
      ['are empty', 'is no P-256 private key', '', 0o600, 'release.pem'],
      ['are too large', 'is too large', 'x'.repeat(20_000), 0o600, 'release.pem'],
      ['are named like no key', 'does not name a key', newPem(), 0o600, '-x.pem'],
    ])('that %s stop the start', async (_what, text, content, mode, name) => {
      using dir = mkdtempDisposableSync(join(tmpdir(), 'keys-'))
      const path = join(dir.path, name)
      writeFileSync(path, content)
      chmodSync(path, mode)
      await expect(keys.open(IDENTITY, dir.path)).rejects.toEqual(failing('CONFIG_INVALID', text))
      expect(readFileSync(path, 'utf8')).toBe(content)
    })

    it('that are links or directories stop it too', async () => {
      using dir = mkdtempDisposableSync(join(tmpdir(), 'keys-'))
      mkdirSync(join(dir.path, 'a.pem'), { mode: 0o700 })
      await expect(keys.open(IDENTITY, dir.path)).rejects.toEqual(failing('CONFIG_INVALID'))
      using other = mkdtempDisposableSync(join(tmpdir(), 'keys-'))
      writeFileSync(join(other.path, 'target'), newPem(), { mode: 0o600 })
      symlinkSync(join(other.path, 'target'), join(other.path, 'b.pem'))
      await expect(keys.open(IDENTITY, other.path)).rejects.toEqual(failing('CONFIG_INVALID'))
    })
  })
})

eachStore('signatures of tools', (at) => {
  let keys: SigningKeys
  let signatures: Signatures
  let nowMs: number
  beforeEach(async () => {
    nowMs = 1_900_000_000_000
    const now = () => nowMs
    keys = new SigningKeys({ store: at.store, guard, keys: () => keyring, now })
    signatures = new Signatures({ store: at.store, guard, keys, now })
    await keys.add({ id: 'default', ...IDENTITY })
    await keys.add({ id: 'release', ...IDENTITY })
  })
  const ask = { reviewId: 'rev_1', keyId: 'default' }

  it('are stored with what was signed, and the same key again gives the same one', async () => {
    const { value, generation } = await signatures.sign(tool(), ask)
    expect(generation).toBe(await at.store.generation())
    expect(value).toMatchObject({
      profile: 'A',
      signerId: 'tools.example',
      keyId: 'default',
      document: tool(),
      previousHash: undefined,
    })
    nowMs += 1_000
    expect(await signatures.sign(tool(), ask)).toEqual({ value, generation: undefined })
    expect(await signatures.find('rev_1')).toEqual(value)
    expect(await signatures.ofHash(value.schemaHash)).toEqual([value])
    expect(await signatures.standing(value)).toBe('valid')
    await expect(signatures.sign(tool(), { ...ask, keyId: 'release' })).rejects.toEqual(
      failing('SIGNATURE_CONFLICT'),
    )
    expect(await signatures.find('rev_2')).toBeUndefined()
  })

  it('made at the same time are one', async () => {
    const made = await Promise.all([1, 2, 3].map(() => signatures.sign(tool(), ask)))
    expect(new Set(made.map(({ value }) => value.signature)).size).toBe(1)
    expect(made.filter(({ generation }) => generation !== undefined)).toHaveLength(1)
  })

  it('name the definition that was signed before', async () => {
    const { value: first } = await signatures.sign(tool(), ask)
    nowMs += 1
    const { value: same } = await signatures.sign(tool(), { ...ask, reviewId: 'rev_2' })
    expect(same.previousHash).toBeUndefined()
    nowMs += 1
    const { value: next } = await signatures.sign(tool('Adds two'), { ...ask, reviewId: 'rev_3' })
    expect(next.previousHash).toBe(first.schemaHash)
    expect((await signatures.ofTool('sum', 'maths')).map(({ reviewId }) => reviewId)).toEqual([
      'rev_3',
      'rev_2',
      'rev_1',
    ])
    expect(await signatures.ofTool('sum', 'others')).toEqual([])
  })

  it('do not count any more when their key is revoked', async () => {
    const { value } = await signatures.sign(tool(), { ...ask, profile: 'B' })
    expect(value.profile).toBe('B')
    await keys.revoke('default', 'superseded')
    expect(await signatures.standing(value)).toBe('key_revoked')
    expect(await signatures.standing({ ...value, keyId: 'other' })).toBe('signature_invalid')
    expect(await signatures.standing({ ...value, keyId: 'release' })).toBe('signature_invalid')
    await expect(signatures.sign(tool(), { ...ask, reviewId: 'rev_9' })).rejects.toEqual(
      failing('INVALID_STATE_TRANSITION'),
    )
  })

  it('that were altered in the database are refused', async () => {
    const { value } = await signatures.sign(tool(), ask)
    await at.store.write((trx) =>
      trx.updateTable('tool_signature').set({ signature: 'MEUC' }).execute(),
    )
    await expect(signatures.find('rev_1')).rejects.toEqual(failing('STORE_CORRUPT'))
    await expect(signatures.ofHash(value.schemaHash)).rejects.toEqual(failing('STORE_CORRUPT'))
    await expect(signatures.sign(tool(), ask)).rejects.toEqual(failing('STORE_CORRUPT'))
    expect(await signatures.standing({ ...value, signature: 'MEUC' })).toBe('signature_invalid')
  })

  it('are shown with the tool as it was signed, to the digit', async () => {
    const { value } = await signatures.sign(tool('Adds', '1.0'), ask)
    const shown = JSON.parse(JSON.stringify(signedTool(value, await keys.find('default'))))
    expect(JSON.stringify(signedTool(value, undefined))).toContain('"maximum":1.0')
    expect(shown).toMatchObject({
      review_id: 'rev_1',
      signature_algorithm: 'ECDSA_P256',
      canonicalization: 'schemapin-v1',
      canonical_json: value.canonicalJson,
      public_key_url: 'https://tools.example/.well-known/schemapin.json',
      public_key_pem: (await keys.named('default')).publicKeyPem,
      warnings: [FLOAT_WARNING],
    })
    const { value: plain } = await signatures.sign(tool(), { ...ask, reviewId: 'rev_2' })
    expect(signedTool(plain, undefined)['warnings']).toEqual([])
  })

  it('have their keys published by domain, with what was revoked', async () => {
    await keys.add({ id: 'other', domain: 'other.example', developerName: 'Dana' })
    await keys.revoke('release', 'superseded')
    const all = await keys.list()
    expect(domainFor(all, 'OTHER.example:8443')).toBe('other.example')
    expect(domainFor(all, '127.0.0.1:8080')).toBe('tools.example')
    expect(domainFor(all, undefined)).toBe('tools.example')
    expect(domainFor([], 'x')).toBeUndefined()
    const { fingerprint } = await keys.named('release')
    expect(discoveryDocument(all, 'tools.example')).toEqual({
      schema_version: '1.4',
      developer_name: 'Ada',
      public_key_pem: (await keys.named('default')).publicKeyPem,
      revoked_keys: [fingerprint],
      revocation_endpoint: 'https://tools.example/.well-known/schemapin-revocations.json',
    })
    expect(revocationDocument(all, 'tools.example')).toEqual({
      schemapin_version: '1.4',
      domain: 'tools.example',
      updated_at: new Date(nowMs).toISOString(),
      revoked_keys: [
        { fingerprint, revoked_at: new Date(nowMs).toISOString(), reason: 'superseded' },
      ],
    })
    await keys.revoke('default', 'key_compromise')
    expect(discoveryDocument(await keys.list(), 'tools.example')).toBeUndefined()
  })
})
