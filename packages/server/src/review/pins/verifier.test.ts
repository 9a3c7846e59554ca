import { generateKeyPairSync } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import { schemapinCanonical } from '@vestry/contract/schemapin'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import type { AuditEntry } from '../../audit/record.ts'
import { startUpstream, type Upstream } from '../../egress/testing/upstream.ts'
import { createWorld, type WorldOptions } from '../../egress/testing/world.ts'
import { testGuard, testKeyring } from '../../identity/test-keys.ts'
import { readToolJson } from '../../json/number-tokens.ts'
import type { TokenJson } from '../../json/raw-number.ts'
import { eachStore } from '../../store/test-store.ts'
import { SigningKeys } from '../signing/key-store.ts'
import { readPublicKey } from '../signing/public-key.ts'
import { type Profile, signText } from '../signing/schemapin.ts'
import { FLOAT_WARNING } from '../signing/signed-tool.ts'
import { KeyLookup } from './key-lookup.ts'
import { PinStore } from './pin-store.ts'
import { Verifier, type VerifyRequest } from './verifier.ts'

const keyring = testKeyring()
const guard = testGuard(keyring)
const failing = (code: string) => expect.objectContaining({ code })
const payload = readToolJson(Buffer.from('{"name":"sum","b":[1,true],"a":null}'))

function signer() {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString()
  return {
    pem,
    fingerprint: readPublicKey(pem)?.fingerprint ?? '',
    sign: (what: TokenJson = payload, profile: Profile = 'A') =>
      signText(schemapinCanonical(what), privateKey, profile),
  }
}

/** A provider whose answers a test can change. */
type Answers = Record<string, string | ((reply: ServerResponse) => void)>
const answers: Answers = {}
const provider: Promise<Upstream> = startUpstream(({ url }, reply) => {
  const answer = answers[url]
  if (typeof answer === 'function') answer(reply)
  else if (answer === undefined) reply.writeHead(404).end()
  else reply.end(answer)
})
afterAll(async () => (await provider)[Symbol.asyncDispose]())

const DISCOVERY = '/.well-known/schemapin.json'
const REVOKED = '/revoked.json'
const publish = (pem: string, more: object = {}) => {
  answers[DISCOVERY] = JSON.stringify({ schema_version: '1.2', public_key_pem: pem, ...more })
}

eachStore('signatures of others', (at) => {
  let nowMs: number
  let pins: PinStore
  let keys: SigningKeys
  let records: AuditEntry[]
  let domain: string
  const ada = signer()
  const eve = signer()

  beforeEach(async () => {
    nowMs = 1_900_000_000_000
    records = []
    const now = () => nowMs
    pins = new PinStore({ store: at.store, guard, now })
    keys = new SigningKeys({ store: at.store, guard, keys: () => keyring, now })
    domain = `127.0.0.1:${(await provider).port}`
    for (const path of Object.keys(answers)) delete answers[path]
    publish(ada.pem)
  })

  const lookup = (insecure: boolean, world: WorldOptions = {}, txt: readonly string[] = []) =>
    new KeyLookup({
      egress: createWorld({ holes: [], ...world }).deps,
      txt: async () => txt,
      audit: {
        append: async (entry) => {
          records.push(entry)
          return records.length
        },
      },
      insecure,
    })
  const verifier = (insecure = true, world: WorldOptions = {}, txt: readonly string[] = []) =>
    new Verifier({ keys, pins, lookup: lookup(insecure, world, txt), now: () => nowMs })
  const ask = (more: Partial<VerifyRequest> = {}): VerifyRequest => ({
    payload,
    signature: ada.sign(),
    signer: { domain, toolId: 'sum' },
    ...more,
  })

  describe('runtime §20.13: the key of a provider', () => {
    it('is pinned at the first valid signature, and found pinned from then on', async () => {
      const first = await verifier().verify(ask())
      expect(first).toMatchObject({
        valid: true,
        code: undefined,
        profile: 'A',
        keyFingerprint: ada.fingerprint,
        pinStatus: 'first_use',
        warnings: [],
      })
      expect(first.schemaHash).toMatch(/^sha256:[0-9a-f]{64}$/)
      expect(await pins.list()).toEqual([
        {
          toolId: 'sum',
          domain,
          keys: [
            {
              fingerprint: ada.fingerprint,
              publicKeyPem: ada.pem,
              firstSeen: nowMs,
              lastSeen: nowMs,
              trustLevel: 'tofu',
            },
          ],
        },
      ])
      nowMs += 2 * 24 * 3_600_000
      expect(await verifier().verify(ask())).toMatchObject({ valid: true, pinStatus: 'pinned' })
      expect((await pins.find('sum', domain))?.keys[0]).toMatchObject({
        firstSeen: 1_900_000_000_000,
        lastSeen: nowMs,
      })
    })

    it('is not pinned by a signature that does not hold', async () => {
      const found = await verifier().verify(ask({ signature: eve.sign() }))
      expect(found).toMatchObject({ valid: false, code: 'SIGNATURE_INVALID', pinStatus: undefined })
      expect(await pins.list()).toEqual([])
    })

    it('that changed is refused, until an operator adds it', async () => {
      await verifier().verify(ask())
      publish(eve.pem)
      const changed = ask({ signature: eve.sign() })
      expect(await verifier().verify(changed)).toMatchObject({
        valid: false,
        code: 'KEY_PIN_MISMATCH',
        pinStatus: 'changed',
        keyFingerprint: eve.fingerprint,
      })
      expect((await pins.find('sum', domain))?.keys).toHaveLength(1)
      const key = readPublicKey(eve.pem)
      if (key === undefined) throw new Error('no key')
      await pins.add({ toolId: 'sum', domain }, key)
      expect(await verifier().verify(changed)).toMatchObject({ valid: true, pinStatus: 'pinned' })
      await pins.remove('sum', domain, eve.fingerprint)
      expect(await verifier().verify(changed)).toMatchObject({ code: 'KEY_PIN_MISMATCH' })
      await pins.remove('sum', domain)
      expect(await verifier().verify(changed)).toMatchObject({ pinStatus: 'first_use' })
      await expect(pins.remove('sum', 'other.example')).rejects.toEqual(failing('NOT_FOUND'))
    })

    it('is bound to its tool: another tool of the domain is another first use', async () => {
      await verifier().verify(ask())
      const other = ask({ signer: { domain, toolId: 'difference' } })
      expect(await verifier().verify(other)).toMatchObject({ pinStatus: 'first_use' })
      expect(await pins.list()).toHaveLength(2)
    })

    it('met twice at once with different keys is bound once', async () => {
      const key = (pem: string) =>
        readPublicKey(pem) as NonNullable<ReturnType<typeof readPublicKey>>
      const of = { toolId: 'sum', domain }
      const [one, other] = await Promise.all([
        pins.bind(of, key(ada.pem), 'tofu'),
        pins.bind(of, key(eve.pem), 'tofu'),
      ])
      expect(one).toEqual(other)
      expect(one.keys).toHaveLength(1)
    })

    it('that the provider revoked is refused: in the document, and in the list it points to', async () => {
      await verifier().verify(ask())
      publish(ada.pem, { revoked_keys: [ada.fingerprint] })
      expect(await verifier().verify(ask())).toMatchObject({ valid: false, code: 'KEY_REVOKED' })
      publish(ada.pem, { revocation_endpoint: `http://${domain}${REVOKED}` })
      const list = { schemapin_version: '1.2', domain }
      const entry = { fingerprint: ada.fingerprint, reason: 'key_compromise' }
      answers[REVOKED] = JSON.stringify({ ...list, revoked_keys: [entry] })
      expect(await verifier().verify(ask())).toMatchObject({ valid: false, code: 'KEY_REVOKED' })
      answers[REVOKED] = JSON.stringify({ ...list, revoked_keys: [] })
      expect(await verifier().verify(ask())).toMatchObject({ valid: true })
    })

    it('does not count while a declared list of revocations cannot be had, pinned or not', async () => {
      publish(ada.pem, { revocation_endpoint: `http://${domain}${REVOKED}` })
      const refused = { valid: false, code: 'DISCOVERY_FETCH_FAILED' }
      expect(await verifier().verify(ask())).toMatchObject(refused)
      expect(await pins.list()).toEqual([])
      publish(ada.pem)
      await verifier().verify(ask())
      publish(ada.pem, { revocation_endpoint: `http://${domain}${REVOKED}` })
      expect(await verifier().verify(ask())).toMatchObject(refused)
      answers[REVOKED] = 'no list'
      expect(await verifier().verify(ask())).toMatchObject({ code: 'DISCOVERY_INVALID' })
      // A list that is kept where nobody may be asked is one that cannot be had.
      publish(ada.pem, { revocation_endpoint: 'http://169.254.169.254/r' })
      expect(await verifier().verify(ask())).toMatchObject(refused)
    })

    it('that is pinned goes on without its provider, one never seen does not', async () => {
      await verifier().verify(ask())
      delete answers[DISCOVERY]
      expect(await verifier().verify(ask())).toMatchObject({
        valid: true,
        pinStatus: 'pinned',
        warnings: ['discovery_unreachable'],
      })
      expect(await verifier().verify(ask({ signature: eve.sign() }))).toMatchObject({
        code: 'SIGNATURE_INVALID',
      })
      expect(await verifier().verify(ask({ signer: { domain, toolId: 'new' } }))).toMatchObject({
        valid: false,
        code: 'DISCOVERY_FETCH_FAILED',
      })
      // A provider that answers with something else is not away.
      answers[DISCOVERY] = '{}'
      expect(await verifier().verify(ask())).toMatchObject({ code: 'DISCOVERY_INVALID' })
    })

    it('is not looked for by who may not have it looked for', async () => {
      const mayAsk = false
      expect(await verifier().verify(ask({ mayAsk }))).toMatchObject({ code: 'KEY_NOT_FOUND' })
      expect(records).toEqual([])
      await verifier().verify(ask())
      const before = records.length
      expect(await verifier().verify(ask({ mayAsk }))).toMatchObject({
        valid: true,
        pinStatus: 'pinned',
        warnings: ['discovery_not_asked'],
      })
      expect(records).toHaveLength(before)
    })

    it('may stand where the tool says, as a document or alone', async () => {
      answers['/key.pem'] = ada.pem
      const url = `http://${domain}/key.pem?x=1`
      const found = await verifier().verify(ask({ signer: { url, toolId: 'sum' } }))
      expect(found).toMatchObject({ code: 'DISCOVERY_FETCH_FAILED' })
      answers['/key.pem?x=1'] = ada.pem
      expect(await verifier().verify(ask({ signer: { url, toolId: 'sum' } }))).toMatchObject({
        valid: true,
        pinStatus: 'first_use',
      })
      expect(await pins.find('sum', domain)).toBeDefined()
    })

    it('is asked for on record, before anybody hears of it', async () => {
      await verifier().verify(ask())
      delete answers[DISCOVERY]
      await verifier().verify(ask())
      const url = `http://${domain}${DISCOVERY}`
      expect(
        records.map(({ phase, success, data, outcome }) => [phase, success, data, outcome?.code]),
      ).toEqual([
        ['intent', true, { url }, undefined],
        ['outcome', true, { url }, 'OK'],
        ['intent', true, { url }, undefined],
        ['outcome', false, { url }, 'DISCOVERY_FETCH_FAILED'],
      ])
      expect(records[1]?.outcome).toMatchObject({ intent: 1 })
    })
  })

  describe('runtime §20.13: nobody is asked', () => {
    const code = 'DISCOVERY_FETCH_FAILED'

    it('over plain http, at an address, at a name of the inner network, or at one that leads there', async () => {
      const world = {
        names: {
          'inner.example': ['10.0.0.7'],
          'meta.example': ['93.184.216.34', '169.254.169.254'],
        },
        // What operators open for tools.
        holes: ['10.0.0.0/8', '127.0.0.0/8'],
      }
      const places = [
        { domain, toolId: 'sum' },
        ...['inner.example', 'meta.example', 'localhost', 'box.local', '10.0.0.7', '[::1]'].map(
          (one) => ({ domain: one, toolId: 'sum' }),
        ),
        ...['http://example.com/key.pem', 'https://user@example.com/k', 'ftp://example.com/k'].map(
          (url) => ({ url, toolId: 'sum' }),
        ),
        ...['no domain', 'a/b', 'a?b', 'a@b', ''].map((one) => ({ domain: one, toolId: 'sum' })),
        { url: 'nowhere', toolId: 'sum' },
      ]
      for (const place of places) {
        const found = await verifier(false, world).verify(ask({ signer: place }))
        expect(found, JSON.stringify(place)).toMatchObject({ valid: false, code })
      }
      expect((await provider).seen.filter(({ url }) => url === '/key.pem')).toEqual([])
    })

    it('a second time because of a redirect', async () => {
      answers[DISCOVERY] = (reply) => reply.writeHead(302, { location: '/elsewhere' }).end()
      answers['/elsewhere'] = JSON.stringify({ schema_version: '1.2', public_key_pem: ada.pem })
      const found = await verifier().verify(ask())
      expect(found).toMatchObject({ valid: false, code })
      expect(found.message).toContain('redirects are not followed')
      expect((await provider).seen.filter(({ url }) => url === '/elsewhere')).toEqual([])
    })

    it('for more than 64 KiB, or longer than was asked for', async () => {
      publish(ada.pem, { contact: 'x'.repeat(65_536) })
      expect(await verifier().verify(ask())).toMatchObject({ code })
      answers[DISCOVERY] = () => {} // never answers
      const found = await verifier().verify(ask({ timeoutMs: 50 }))
      expect(found).toMatchObject({ code, message: 'The provider did not answer in time.' })
    })
  })

  it('the TXT record of a domain has to name the key that the domain publishes', async () => {
    const place = { url: `http://${domain}${DISCOVERY}`, domain: 'maps.example' }
    const asking = (txt: readonly string[]) => lookup(true, {}, txt).ask(place)
    const record = (fingerprint: string) => `v=schemapin1; fp=${fingerprint}; kid=default`
    expect(await asking([])).toMatchObject({ vouched: false })
    expect(await asking(['v=spf1 -all', record(ada.fingerprint)])).toMatchObject({ vouched: true })
    await expect(asking([record(eve.fingerprint)])).rejects.toMatchObject({
      code: 'DOMAIN_MISMATCH',
      fingerprint: ada.fingerprint,
    })
    await expect(asking(['v=schemapin1'])).rejects.toEqual(failing('DISCOVERY_INVALID'))
    // An address, and a port of its own, have no such records.
    for (const other of ['127.0.0.1', 'maps.example:8443', 'localhost'])
      expect(
        await lookup(true, {}, ['v=schemapin1']).ask({ ...place, domain: other }),
      ).toMatchObject({ vouched: false })
  })

  describe('the answer', () => {
    it('with a key that is given has nothing to do with pins', async () => {
      const found = await verifier().verify(ask({ signer: { pem: ada.pem } }))
      expect(found).toMatchObject({ valid: true, pinStatus: undefined })
      expect(await verifier().verify(ask({ signer: { pem: eve.pem } }))).toMatchObject({
        code: 'SIGNATURE_INVALID',
        keyFingerprint: eve.fingerprint,
        schemaHash: found.schemaHash,
      })
      expect(await verifier().verify(ask({ signer: { pem: 'no key' } }))).toMatchObject({
        code: 'KEY_NOT_FOUND',
      })
      expect(records).toEqual([])
    })

    it('with a key of ours follows its revocation', async () => {
      await keys.add({ id: 'release', domain: 'tools.example', developerName: 'Ada' })
      const { signature, key } = await keys.sign('release', schemapinCanonical(payload), 'A')
      const own = (fingerprint?: string) =>
        ask({
          signature,
          signer: { keyId: 'release', ...(fingerprint !== undefined && { fingerprint }) },
        })
      expect(await verifier().verify(own(key.fingerprint))).toMatchObject({ valid: true })
      expect(await verifier().verify(own(ada.fingerprint))).toMatchObject({ code: 'KEY_NOT_FOUND' })
      await keys.revoke('release', 'superseded')
      expect(await verifier().verify(own())).toMatchObject({ valid: false, code: 'KEY_REVOKED' })
      expect(await verifier().verify(ask({ signer: { keyId: 'none' } }))).toMatchObject({
        code: 'KEY_NOT_FOUND',
      })
    })

    it('holds to the profile that is declared, and says which one it was', async () => {
      const signature = ada.sign(payload, 'B')
      const given = ask({ signature, signer: { pem: ada.pem } })
      expect(await verifier().verify(given)).toMatchObject({ valid: true, profile: 'B' })
      expect(await verifier().verify({ ...given, profiles: ['A'] })).toMatchObject({ valid: false })
    })

    it('knows one canonical form, and no content without it', async () => {
      const given = ask({ signer: { pem: ada.pem } })
      expect(await verifier().verify({ ...given, canonicalization: 'schemapin-v1' })).toMatchObject(
        { valid: true },
      )
      expect(await verifier().verify({ ...given, canonicalization: 'jcs' })).toMatchObject({
        code: 'CANONICALIZATION_UNSUPPORTED',
      })
      expect(await verifier().verify({ ...given, payload: Number.NaN })).toMatchObject({
        code: 'SCHEMA_CANONICALIZATION_FAILED',
      })
    })

    it('tells of expiry and of floats, and stays valid', async () => {
      const floats = readToolJson(Buffer.from('{"a":1.0}'))
      const given = (expiresAt: string) =>
        ask({ payload: floats, signature: ada.sign(floats), signer: { pem: ada.pem }, expiresAt })
      expect(await verifier().verify(given('2020-01-01T00:00:00Z'))).toMatchObject({
        valid: true,
        expired: true,
        warnings: ['signature_expired', FLOAT_WARNING],
      })
      expect(await verifier().verify(given('2100-01-01T00:00:00Z'))).toMatchObject({
        expired: false,
        warnings: [FLOAT_WARNING],
      })
      expect(await verifier().verify(given('soon'))).toMatchObject({
        valid: true,
        expired: false,
        warnings: ['signature_expires_at_unparseable', FLOAT_WARNING],
      })
    })
  })

  it('a review is told what is known of the key of a provider', async () => {
    const url = `http://${domain}${DISCOVERY}`
    const of = (address: string | null, options = {}) =>
      verifier().providerKey(address, 'sum', options)
    expect(await of(null)).toEqual({ state: 'absent' })
    expect(await of(url)).toEqual({ state: 'known', fingerprint: ada.fingerprint })
    expect(await pins.list()).toEqual([])
    const { seen } = await provider
    const before = seen.length
    expect(await of(url, { mayAsk: false })).toEqual({ state: 'unreachable' })
    expect(seen.length).toBe(before)
    await verifier().verify(ask())
    publish(eve.pem)
    expect(await of(url, { mayAsk: false })).toMatchObject({ state: 'differs_from_pin' })
    expect(await of(url)).toEqual({ state: 'differs_from_pin', fingerprint: eve.fingerprint })
    publish(eve.pem, { revoked_keys: [eve.fingerprint] })
    expect(await of(url)).toEqual({ state: 'revoked', fingerprint: eve.fingerprint })
    answers[DISCOVERY] = 'welcome'
    expect(await of(url)).toEqual({ state: 'not_a_key' })
    delete answers[DISCOVERY]
    expect(await of(url)).toEqual({ state: 'unreachable' })
    answers[DISCOVERY] = () => {}
    expect(await of(url, { timeoutMs: 50 })).toEqual({ state: 'unreachable' })
    const strict = verifier(false)
    expect(await strict.providerKey(url, 'sum')).toMatchObject({ state: 'refused' })
    expect(await strict.providerKey('nowhere', 'sum')).toMatchObject({ state: 'refused' })
  })

  it('a pin that was altered in the database is refused', async () => {
    await verifier().verify(ask())
    const row = await at.store.db.selectFrom('key_pin').selectAll().executeTakeFirstOrThrow()
    const forged = row.pins_json.replace(ada.fingerprint, eve.fingerprint)
    await at.store.write((trx) => trx.updateTable('key_pin').set({ pins_json: forged }).execute())
    await expect(verifier().verify(ask())).rejects.toEqual(failing('STORE_CORRUPT'))
    await expect(pins.list()).rejects.toEqual(failing('STORE_CORRUPT'))
  })
})
