import { VestryError } from '@vestry/contract/errors'
import { beforeEach, describe, expect, it, test } from 'vitest'
import type { AuditEntry } from '../../audit/record.ts'
import { testGuard, testKeyring } from '../../identity/test-keys.ts'
import type { TokenObject } from '../../json/raw-number.ts'
import { digestOf, withDefaults } from '../../review/normalise.ts'
import type { ReviewedTools, Verdict } from '../../review/reviewed-tools.ts'
import type { ToolDocument } from '../../review/tool-document.ts'
import { eachStore } from '../../store/test-store.ts'
import type { LiveTool } from '../hub.ts'
import { carriedSignature } from './carried-signature.ts'
import { type Bounds, KnownTools } from './known-tools.ts'
import { shadowed } from './shadowing.ts'
import { standingOf } from './standing.ts'
import { ToolPinStore } from './tool-pin-store.ts'

const keyring = testKeyring()
const guard = testGuard(keyring)

const live = (name: string, schema: object = { type: 'object' }, more = {}): LiveTool => ({
  server: 'notes',
  name,
  description: 'Keeps notes',
  inputSchema: schema as TokenObject,
  outputSchema: undefined,
  annotations: undefined,
  meta: undefined,
  ...more,
})

describe('whether a tool may be called', () => {
  const tool = live('append')
  const of = (
    reason: Verdict extends infer V ? (V extends { reason: infer R } ? R : never) : never,
  ) =>
    ({ verified: false, hash: 'sha256:1', reason, reviewId: undefined, detail: 'words' }) as const
  const drift = ['/description']

  test.each([
    ['never_reviewed', undefined, false, 'never_reviewed'],
    ['never_reviewed', undefined, true, undefined],
    ['never_reviewed', drift, true, 'definition_changed'],
    ['never_reviewed', drift, false, 'definition_changed'],
    ['provider_differs', undefined, false, 'provider_differs'],
    ['provider_differs', undefined, true, undefined],
    ['definition_differs', undefined, true, 'definition_differs'],
    ['schema_has_unreviewed_keywords', undefined, true, 'schema_has_unreviewed_keywords'],
    ['signature_invalid', undefined, true, 'signature_invalid'],
    ['key_revoked', undefined, true, 'key_revoked'],
  ] as const)('%s, drift %s, unreviewed allowed %s: %s', (reason, moved, allowed, refusal) => {
    const standing = standingOf(tool, {
      verdict: of(reason),
      drift: moved,
      allowUnreviewed: allowed,
    })
    expect(standing.verified).toBe(false)
    expect(standing.refusal?.reason).toBe(refusal)
  })

  test('a signed one may, also when it was another before', () => {
    const verdict = { verified: true, match: 'full', reviewId: 'rev_1', hash: 'sha256:1' } as const
    expect(standingOf(tool, { verdict, drift, allowUnreviewed: false })).toEqual({
      verified: true,
      hash: 'sha256:1',
      reviewId: 'rev_1',
      refusal: undefined,
    })
  })
})

test('a signature comes in the schema or in _meta, and is a text of bounded length', () => {
  const signature = 'MEUCIQ'
  const found = { signature }
  expect(carriedSignature(live('a', { type: 'object', signature }))).toEqual(found)
  for (const meta of [
    { schemapin: found },
    { schemapin: signature },
    { 'schemapin.org/signature': signature },
  ])
    expect(carriedSignature(live('a', {}, { meta }))).toEqual(found)
  for (const meta of [
    undefined,
    {},
    { schemapin: { signature: 7 } },
    { schemapin: 'x'.repeat(2_000) },
  ])
    expect(carriedSignature(live('a', {}, { meta }))).toBeUndefined()
})

test('tools of one name on two servers are told of, once for each name', () => {
  const at = (server: string, name: string) => ({ server, name })
  expect(shadowed([at('b', 'x'), at('a', 'x'), at('a', 'y'), at('a', 'x')])).toEqual([
    { name: 'x', servers: ['a', 'b'] },
  ])
})

eachStore('tools that servers list', (at) => {
  let records: AuditEntry[]
  let reopened: Parameters<ReviewedTools['reopen']>[0][]
  let signed: Set<string>
  let warnings: string[]
  let keyUrl: string | null
  let nowMs: number
  let verdicts: number
  let listed: LiveTool[]
  let known: KnownTools
  const pins = () => new ToolPinStore({ store: at.store, guard, now: () => nowMs })
  const start = async (allowUnreviewed = true, bounds?: Bounds): Promise<KnownTools> => {
    const made = new KnownTools({
      pins: pins(),
      reviewed: {
        verdict: async (document: ToolDocument, carried) => {
          verdicts += 1
          const hash = digestOf(document)
          if (signed.has(hash) || (carried !== undefined && signed.has(carried.signature)))
            return { verified: true, match: 'full', reviewId: 'rev_1', hash }
          const reason = 'never_reviewed'
          return { verified: false, hash, reason, reviewId: undefined, detail: 'Nobody did' }
        },
        reopen: async (input) => {
          reopened.push(input)
          return `rev_${reopened.length}`
        },
      },
      hub: { tools: () => listed },
      publicKeyUrl: () => keyUrl,
      allowUnreviewed,
      ...(bounds !== undefined && { bounds }),
      audit: {
        append: async (entry) => {
          records.push(structuredClone(entry))
          return records.length
        },
      },
      warn: (line) => void warnings.push(line),
      now: () => nowMs,
    })
    await made.open()
    return made
  }
  const settled = async (holds: () => boolean) => expect.poll(holds, { interval: 5 }).toBe(true)
  const events = () => records.map(({ action }) => action)

  beforeEach(async () => {
    records = []
    reopened = []
    signed = new Set()
    warnings = []
    keyUrl = null
    nowMs = 1_000
    verdicts = 0
    listed = []
    known = await start()
  })

  it('runtime §20.11: are bound when first seen, and another definition is refused, told and reviewed once', async () => {
    const first = live('append', { type: 'object' })
    expect(await known.standing(first)).toMatchObject({ verified: false, refusal: undefined })
    expect(records).toMatchObject([
      { action: 'mcp.tools_seen', source: 'mcp', data: { server: 'notes' } },
    ])
    const other = live('append', { type: 'object', properties: { bcc: { type: 'string' } } })
    const refusal = { reason: 'definition_changed', detail: expect.stringContaining('/schema') }
    expect(await known.standing(other)).toMatchObject({ verified: false, refusal })
    await settled(() => events().includes('mcp.tool_changed'))
    expect(reopened).toMatchObject([
      { before: { schema: { properties: {} } }, document: { name: 'append' } },
    ])
    expect(records.at(-1)).toMatchObject({
      data: {
        review_id: 'rev_1',
        changes: [{ pointer: '/schema/properties/bcc', kind: 'added' }],
        changes_total: 1,
        generation: await at.store.generation(),
      },
    })
    expect(JSON.stringify(records)).not.toContain('"string"')

    // Another start, another listing: nothing more is to be said.
    const again = await start()
    expect(await again.standing({ ...other })).toMatchObject({ refusal })
    expect(await again.standing({ ...first })).toMatchObject({ refusal: undefined })
    expect(reopened).toHaveLength(1)
    expect(events()).toEqual(['mcp.tools_seen', 'mcp.tool_changed'])
  })

  it('are bound anew by a signature, and what was bound before is refused from then on', async () => {
    const first = live('append')
    const second = live('append', { type: 'object', required: ['text'] })
    await known.standing(first)
    await known.standing(second)
    await settled(() => reopened.length === 1)
    const { hash } = await known.standing(second)
    signed.add(hash)
    known.onChange(['tool_signature'])
    expect(await known.standing(second)).toMatchObject({ verified: true, refusal: undefined })
    await settled(() => events().includes('mcp.tool_pinned'))
    const back = await known.standing({ ...first })
    expect(back.refusal?.reason).toBe('definition_changed')
  })

  it('are bound anew by the word of an operator', async () => {
    await known.standing(live('append'))
    const second = live('append', { type: 'object', required: ['text'] })
    const { hash } = await known.standing(second)
    expect((await known.accept([second])).digests).toEqual({ append: hash })
    expect(await known.standing(second)).toMatchObject({ refusal: undefined, verified: false })
    const strict = await start(false)
    const { refusal } = await strict.standing({ ...second })
    expect(refusal?.reason).toBe('never_reviewed')
  })

  it('stay the same when only the address of the provider’s key is configured', async () => {
    const tool = live('append')
    const before = await known.standing(tool)
    keyUrl = 'https://keys.example/schemapin.json'
    const after = await known.standing(tool)
    expect(after.refusal).toBeUndefined()
    expect(after.hash).not.toBe(before.hash)
    await settled(() => events().includes('mcp.tool_pinned'))
    expect(reopened).toEqual([])
  })

  it('runtime §9.5: have one digest whether or not a server writes out what is the default', async () => {
    const short = await known.standing(live('append', {}))
    const long = await known.standing(
      live('append', { required: [], properties: {}, type: 'object' }),
    )
    expect(short.hash).toBe(long.hash)
    const document = withDefaults({
      name: 'append',
      description: 'Keeps notes',
      provider: { name: 'notes' },
      schema: {},
    })
    expect(short.hash).toBe(digestOf(document))
  })

  it('are looked up once, until something that decides changes, and those with a signature now and then', async () => {
    const tool = live('append')
    for (let n = 0; n < 5; n += 1) await known.standing(tool)
    const looked = verdicts
    await known.standing(tool)
    known.onChange(['agent', 'policy'])
    await known.standing(tool)
    expect(verdicts).toBe(looked)
    known.onChange(['signing_key'])
    await known.standing(tool)
    expect(verdicts).toBe(looked + 1)
    const carrying = live('signed', { type: 'object', signature: 'sig' })
    signed.add('sig')
    expect(await known.standing(carrying)).toMatchObject({ verified: true })
    signed.delete('sig')
    nowMs += 120_000
    expect(await known.standing(carrying)).toMatchObject({ verified: false })
  })

  it('that have no canonical form are refused, and do not keep others from being bound', async () => {
    const odd = live('odd', { type: 'object', title: '\ud800' })
    known.listed('notes', [odd, live('append')])
    expect(await known.standing(odd)).toMatchObject({
      verified: false,
      refusal: { reason: 'definition_unreadable' },
    })
    expect(await known.standing(live('append'))).toMatchObject({ refusal: undefined })
    const rows = await at.store.db.selectFrom('mcp_tool_pin').select('tool').execute()
    expect(rows).toEqual([{ tool: 'append' }])
  })

  it('whose bound definition somebody else altered are not compared with it', async () => {
    await known.standing(live('append'))
    await at.store.write((trx) => trx.updateTable('mcp_tool_pin').set({ digest: 'x' }).execute())
    await expect(start()).rejects.toEqual(expect.objectContaining({ code: 'STORE_CORRUPT' }))
  })

  it('are bound up to a number for each server; what is over is refused unless it is signed', async () => {
    const bounded = await start(true, { bound: 2, told: 9 })
    bounded.listed(
      'notes',
      ['a', 'b', 'c'].map((name) => live(name)),
    )
    expect(await bounded.standing(live('b'))).toMatchObject({ refusal: undefined })
    const over = await bounded.standing(live('c'))
    expect(over).toMatchObject({ verified: false, refusal: { reason: 'too_many_tools' } })
    expect(await bounded.standing(live('d', {}, { server: 'other' }))).toMatchObject({
      refusal: undefined,
    })
    signed.add(over.hash)
    expect(await bounded.standing(live('c'))).toMatchObject({ verified: true, refusal: undefined })
    const rows = await at.store.db.selectFrom('mcp_tool_pin').select('tool').orderBy('id').execute()
    expect(rows.map(({ tool }) => tool)).toEqual(['a', 'b', 'd'])
  })

  it('that change without an end are refused each time, and brought to review now and then', async () => {
    const bounded = await start(true, { bound: 9, told: 2 })
    await bounded.standing(live('append'))
    const changed = (n: number) => live('append', { type: 'object', title: `${n}` })
    for (let n = 0; n < 6; n += 1)
      expect(await bounded.standing(changed(n))).toMatchObject({
        refusal: { reason: 'definition_changed' },
      })
    await settled(() => events().filter((event) => event === 'mcp.tool_changed').length === 2)
    nowMs += 60_000
    await bounded.standing(changed(6))
    await settled(() => reopened.length === 3)
  })

  it('of one name on two servers do not fill the log', () => {
    for (const server of ['one', 'two'])
      for (let n = 0; n < 500; n += 1) listed.push(live(`tool-${n}`, {}, { server }))
    known.listed('two', [])
    expect(warnings).toHaveLength(100)
    expect(warnings[0]).toContain('"tool-0": one, two')
  })

  it('are asked about again after a failure', async () => {
    const tool = live('append')
    known.close()
    await at.store.write((trx) => trx.deleteFrom('mcp_tool_pin').execute())
    expect(await known.standing(tool)).toMatchObject({ refusal: undefined })
    const failing = new KnownTools({
      ...({ pins: pins(), hub: { tools: () => [] }, publicKeyUrl: () => null } as const),
      reviewed: {
        verdict: () => Promise.reject(new VestryError('STORE_UNAVAILABLE')),
        reopen: async () => '',
      },
      allowUnreviewed: true,
      audit: { append: async () => 0 },
      warn: () => undefined,
      now: () => 1,
    })
    await failing.open()
    for (let n = 0; n < 2; n += 1)
      await expect(failing.standing(tool)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
  })
})
