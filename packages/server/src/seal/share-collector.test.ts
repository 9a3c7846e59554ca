import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { Stretcher } from './kdf.ts'
import { Secret } from './secret.ts'
import { ShareCollector } from './share-collector.ts'
import { decodeShare, encodeShare } from './share-text.ts'
import { createSlot, type NewSlot, openSlot } from './slot.ts'

const vaultId = '018f3c5e-0000-7000-8000-0000000000aa'
const failed = expect.objectContaining({ code: 'UNSEAL_FAILED' })
const root = Secret.own(new Uint8Array(32).fill(9))

const split = (threshold = 3, shares = 5): Promise<NewSlot> =>
  createSlot({ type: 'shamir', threshold, shares }, root, {
    vaultId,
    now: () => 0,
    stretcher: new Stretcher(),
  })

test('a share reads sncs1-<group>-<base64url>-<check> and comes back', () => {
  const share = Uint8Array.from({ length: 33 }, (_, at) => 255 - at)
  const text = encodeShare('0123456789abcdef', share)
  expect(Buffer.from(text.bytes).toString()).toMatch(
    /^sncs1-0123456789abcdef-[A-Za-z0-9_-]{44}-[0-9a-f]{8}$/,
  )
  using decoded = decodeShare(Buffer.concat([Buffer.from('\t '), text.bytes, Buffer.from('\r\n')]))
  expect(decoded.group).toBe('0123456789abcdef')
  expect(Buffer.from(decoded.share.bytes)).toEqual(Buffer.from(share))
})

test('vault §28.46: a share with any one character changed, lost or added is refused at entry', async () => {
  const { slot, shares } = await split()
  const text = Buffer.from(shares[0]!.bytes)
  const collector = new ShareCollector(() => 0)
  for (let at = 0; at < text.length; at += 1) {
    const wrong = Buffer.from(text)
    wrong[at] = text[at] === 0x41 ? 0x42 : 0x41
    const lost = Buffer.concat([text.subarray(0, at), text.subarray(at + 1)])
    const added = Buffer.concat([text.subarray(0, at), Buffer.from('x'), text.subarray(at)])
    for (const bad of [wrong, lost, added])
      expect(() => collector.offer(bad, [slot])).toThrow(failed)
  }
  expect(collector.progress()).toEqual([])
})

test('vault §28.46: a share of another split is refused at entry and leaves progress alone', async () => {
  const [ours, theirs] = await Promise.all([split(), split()])
  const collector = new ShareCollector(() => 0)
  collector.offer(ours.shares[0]!.bytes, [ours.slot])
  expect(() => collector.offer(theirs.shares[1]!.bytes, [ours.slot])).toThrow(failed)
  expect(collector.progress()).toEqual([{ slot: ours.slot.id, have: 1, need: 3 }])
})

test('a second, different share of the same number cannot be genuine', async () => {
  const { slot, shares } = await split()
  const collector = new ShareCollector(() => 0)
  collector.offer(shares[0]!.bytes, [slot])
  using genuine = decodeShare(shares[0]!.bytes)
  const forged = Uint8Array.from(genuine.share.bytes)
  forged[0] = (forged[0] ?? 0) ^ 1
  expect(() => collector.offer(encodeShare(genuine.group, forged).bytes, [slot])).toThrow(failed)
  forged[32] = 6 // there are five
  expect(() => collector.offer(encodeShare(genuine.group, forged).bytes, [slot])).toThrow(failed)
})

test('shares from different people add up, duplicates do not, the last one opens the slot', async () => {
  const { slot, shares } = await split()
  const collector = new ShareCollector(() => 0)
  const offer = (at: number) => collector.offer(shares[at]!.bytes, [slot])
  expect(offer(4)).toMatchObject({ complete: false, progress: { have: 1, need: 3 } })
  expect(offer(4)).toMatchObject({ complete: false, progress: { have: 1, need: 3 } })
  expect(offer(0)).toMatchObject({ complete: false, progress: { have: 2, need: 3 } })
  const last = offer(2)
  if (!last.complete) throw new Error('three shares are enough')
  using opened = openSlot(vaultId, slot, last.key.bytes)
  expect(Buffer.from(opened?.bytes ?? [])).toEqual(Buffer.from(root.bytes))
  expect(collector.progress()).toEqual([])
})

test('two splits of one vault are collected side by side', async () => {
  const [one, other] = await Promise.all([split(2, 3), split(2, 3)])
  const slots = [one.slot, other.slot]
  const collector = new ShareCollector(() => 0)
  collector.offer(one.shares[0]!.bytes, slots)
  collector.offer(other.shares[0]!.bytes, slots)
  expect(collector.progress()).toHaveLength(2)
  expect(collector.offer(other.shares[1]!.bytes, slots).complete).toBe(true)
  expect(collector.progress()).toEqual([{ slot: one.slot.id, have: 1, need: 2 }])
})

test('fifteen quiet minutes forget the shares, one second less does not', async () => {
  const { slot, shares } = await split()
  let now = 1_000_000
  const collector = new ShareCollector(() => now)
  collector.offer(shares[0]!.bytes, [slot])
  now += 15 * 60_000 - 1_000
  expect(collector.offer(shares[1]!.bytes, [slot])).toMatchObject({ progress: { have: 2 } })
  now += 15 * 60_000
  expect(collector.progress()).toEqual([])
  expect(collector.offer(shares[2]!.bytes, [slot])).toMatchObject({ progress: { have: 1 } })
})

test('neither a collector nor a decoded share prints what it holds', async () => {
  const { slot, shares } = await split()
  const collector = new ShareCollector(() => 0)
  collector.offer(shares[0]!.bytes, [slot])
  const text = Buffer.from(shares[0]!.bytes).toString()
  using decoded = decodeShare(shares[0]!.bytes)
  const seen = inspect([collector, decoded, shares], { depth: 9, showHidden: true })
  expect(seen).not.toContain(text.slice(23, 60))
  expect(seen).not.toContain(Buffer.from(decoded.share.bytes).toString('hex').slice(0, 16))
})
