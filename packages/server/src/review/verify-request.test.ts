import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { mkdirSync, mkdtempDisposableSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { schemapinCanonical } from '@vestry/contract/schemapin'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readSkillDirectory } from '../cli/skill-directory.ts'
import { createWorld } from '../egress/testing/world.ts'
import { testGuard, testKeyring } from '../identity/test-keys.ts'
import { readToolJson } from '../json/number-tokens.ts'
import { openStore, type Store } from '../store/store.ts'
import { sqliteUrl } from '../store/test-store.ts'
import { KeyLookup } from './pins/key-lookup.ts'
import { PinStore } from './pins/pin-store.ts'
import { Verifier } from './pins/verifier.ts'
import { SigningKeys } from './signing/key-store.ts'
import { type Profile, signText } from './signing/schemapin.ts'
import { fileDigest, skillText } from './signing/skill.ts'
import { chainState, readVerification } from './verify-request.ts'
import { contentOf } from './verify-verb.ts'

const pair = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
const public_key_pem = pair.publicKey.export({ type: 'spki', format: 'pem' }).toString()
const json = (value: unknown) => readToolJson(Buffer.from(JSON.stringify(value)))
const NOW = Date.parse('2030-01-01T00:00:00Z')

let verifier: Verifier
let store: Store
beforeAll(async () => {
  store = await openStore(await sqliteUrl())
  const keyring = testKeyring()
  const guard = testGuard(keyring)
  const now = () => NOW
  verifier = new Verifier({
    keys: new SigningKeys({ store, guard, keys: () => keyring, now }),
    pins: new PinStore({ store, guard, now }),
    lookup: new KeyLookup({
      egress: createWorld().deps,
      txt: async () => [],
      audit: { append: async () => 1 },
      insecure: false,
    }),
    now,
  })
})
afterAll(() => store.close())

/** Only keys that are given: nothing of the store or the world is asked. */
async function verified(body: unknown) {
  const { request } = await readVerification(json(body), async () => undefined)
  return verifier.verify(request)
}

const signed = (value: object, profile: Profile, key: KeyObject = pair.privateKey) =>
  signText(schemapinCanonical(json(value)), key, profile)

describe('what a file holds', () => {
  const tool = { name: 'n', description: '', provider: { name: 'p' }, schema: {} }

  test('is a signed tool, a tool, or any document', () => {
    const about = { signature: 's', expires_at: null, review_id: 'rev_1', canonical_json: '{}' }
    expect(contentOf(json({ tool, ...about }))).toEqual({ tool, signature: 's', expires_at: null })
    expect(contentOf(json(tool))).toEqual({ tool })
    for (const document of [{ ...tool, extra: 1 }, { tool }, { type: 'object', signature: 's' }])
      expect(contentOf(json(document))).toEqual({ document })
    expect(contentOf(json([]))).toEqual({ document: [] })
  })

  test('of a tool with an address of its key, the address is asked', async () => {
    const url = 'https://maps.example/key.pem'
    const own = { ...tool, provider: { name: 'p', public_key_url: url } }
    const asked = async (body: object) =>
      (await readVerification(json(body), async () => undefined)).request.signer
    expect(await asked({ tool: own, signature: 's' })).toEqual({ url, toolId: 'n' })
    expect(await asked({ tool: own, signature: 's', domain: 'a.example' })).toEqual({
      domain: 'a.example',
      toolId: 'n',
    })
    expect(await asked({ tool: own, signature: 's', public_key_pem })).toEqual({
      pem: public_key_pem,
    })
    expect(await asked({ tool: own, signature: 's', tool_id: 'other' })).toEqual({
      url,
      toolId: 'other',
    })
  })
})

test('a document that carries its signature was signed without it, in either profile', async () => {
  const document = { type: 'object', properties: { a: { signature: 'inner' } } }
  for (const profile of ['A', 'B'] as const) {
    const carried = { ...document, signature: signed(document, profile) }
    expect(await verified({ document: carried, public_key_pem })).toMatchObject({
      valid: true,
      profile,
    })
    const changed = { ...carried, type: 'array' }
    expect(await verified({ document: changed, public_key_pem })).toMatchObject({ valid: false })
  }
  // With a signature beside it, it was signed whole.
  const whole = { ...document, signature: 'a member like any other' }
  expect(
    await verified({ document: whole, signature: signed(whole, 'A'), public_key_pem }),
  ).toMatchObject({ valid: true })
})

test('a bundle is signed in profile B with its signature left empty, and ends when it says so', async () => {
  const bundle = {
    schemapin_bundle_version: '1.2',
    created_at: '2029-12-01T00:00:00Z',
    documents: [],
    revocations: [],
    expires_at: '2030-06-01T00:00:00Z',
    signature: '',
  }
  const verifiedBundle = (more: object, profile: Profile = 'B') => {
    const unsigned = { ...bundle, ...more }
    const document = { ...unsigned, signature: signed(unsigned, profile) }
    return verified({ document, public_key_pem })
  }
  expect(await verifiedBundle({})).toMatchObject({ valid: true, profile: 'B', expired: false })
  expect(await verifiedBundle({ expires_at: undefined })).toMatchObject({ valid: true })
  expect(await verifiedBundle({}, 'A')).toMatchObject({ code: 'SIGNATURE_INVALID' })
  for (const expires_at of ['2029-12-31T23:59:59Z', 'soon', 7])
    expect(await verifiedBundle({ expires_at })).toMatchObject({ code: 'BUNDLE_EXPIRED' })
  expect(await verified({ document: bundle, public_key_pem })).toMatchObject({
    valid: false,
    code: 'BUNDLE_UNSIGNED',
  })
})

test('a skill directory is signed by its files: paths and contents, in the order of bytes', async () => {
  using dir = mkdtempDisposableSync(join(tmpdir(), 'skill-'))
  const put = (path: string, content: string) => writeFileSync(join(dir.path, path), content)
  mkdirSync(join(dir.path, 'b'))
  put('SKILL.md', '# Tides')
  put('b/run.sh', 'true')
  put('b.txt', 'x')
  put('.schemapin.sig', '{"signature":"s","domain":"sea.example","skill_name":"tides"}')
  symlinkSync('/etc/hostname', join(dir.path, 'link'))
  const { manifest, signed: about } = readSkillDirectory(dir.path)
  expect(about).toMatchObject({ domain: 'sea.example', skill_name: 'tides' })
  expect({ ...manifest }).toEqual({
    'SKILL.md': fileDigest('SKILL.md', Buffer.from('# Tides')),
    'b/run.sh': fileDigest('b/run.sh', Buffer.from('true')),
    'b.txt': fileDigest('b.txt', Buffer.from('x')),
  })
  const files = new Map(Object.entries(manifest))
  const order = ['SKILL.md', 'b.txt', 'b/run.sh'].map((path) => files.get(path)?.slice(7))
  expect(skillText(files)).toBe(order.join(''))
  for (const profile of ['A', 'B'] as const) {
    const signature = signText(skillText(files), pair.privateKey, profile)
    const given = { skill_manifest: { ...manifest }, signature, public_key_pem }
    expect(await verified(given)).toMatchObject({ valid: true, profile })
    const moved = { ...manifest, 'b.txt': fileDigest('b.txt', Buffer.from('y')) }
    expect(await verified({ ...given, skill_manifest: moved })).toMatchObject({ valid: false })
  }
  for (const wrong of [{}, [], { a: 'x' }, { '': `sha256:${'0'.repeat(64)}` }])
    await expect(
      verified({ skill_manifest: wrong, signature: 's', public_key_pem }),
    ).rejects.toThrow('skill_manifest: must map paths')
  put('.schemapin.sig', 'none')
  expect(() => readSkillDirectory(dir.path)).toThrow('is no signature')
})

test('a link to the predecessor is there, missing, or wrong', async () => {
  const hash = `sha256:${'a'.repeat(64)}`
  expect(chainState(hash, hash)).toBe('linked')
  expect(chainState(undefined, hash)).toBe('no_previous_hash')
  expect(chainState(`sha256:${'b'.repeat(64)}`, hash)).toBe('mismatch')
  const body = { document: {}, signature: 's', public_key_pem, expected_previous_hash: hash }
  const { chain } = await readVerification(json(body), async () => undefined)
  expect(chain).toEqual({ previousHash: undefined, expected: hash })
})
