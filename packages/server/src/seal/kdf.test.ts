import { argon2Sync, scryptSync } from 'node:crypto'
import { expect, test } from 'vitest'
import { Argon2idParams, defaultCost, freshParams, ScryptParams, Stretcher } from './kdf.ts'

const salt = Buffer.alloc(16, 7).toString('base64')
const argon2id = { name: 'argon2id' as const, memory_kib: 19_456, passes: 1, lanes: 2, salt }
const scrypt = { name: 'scrypt' as const, n: 2 ** 15, r: 8, p: 1, salt }

test('Argon2id and scrypt give the bytes of the platform, whatever happens to the passphrase meanwhile', async () => {
  const stretcher = new Stretcher()
  const passphrase = Buffer.from('correct horse')
  const pending = [stretcher.derive(passphrase, argon2id), stretcher.derive(passphrase, scrypt)]
  passphrase.fill(0)
  const [one, other] = await Promise.all(pending)
  const expected = argon2Sync('argon2id', {
    message: 'correct horse',
    nonce: Buffer.alloc(16, 7),
    parallelism: 2,
    tagLength: 32,
    memory: 19_456,
    passes: 1,
  })
  expect(Buffer.from(one!.bytes)).toEqual(expected)
  const maxmem = 2 ** 26
  expect(Buffer.from(other!.bytes)).toEqual(
    scryptSync('correct horse', Buffer.alloc(16, 7), 32, { N: 2 ** 15, r: 8, p: 1, maxmem }),
  )
})

test('a new passphrase costs 64 MiB, 3 passes, 4 lanes; without Argon2id scrypt at 2^17', () => {
  expect(defaultCost()).toEqual({ name: 'argon2id', memory_kib: 65_536, passes: 3, lanes: 4 })
  expect(defaultCost(false)).toEqual({ name: 'scrypt', n: 131_072, r: 8, p: 1 })
  const fresh = freshParams(defaultCost())
  expect(Buffer.from(fresh.salt, 'base64')).toHaveLength(16)
  expect(freshParams(defaultCost()).salt).not.toBe(fresh.salt)
})

test('vault §28.38: parameters below the minimum or above the cap are refused', () => {
  const accepts = (change: object) => Argon2idParams.safeParse({ ...argon2id, ...change }).success
  expect(accepts({})).toBe(true)
  expect(accepts({ memory_kib: 2 ** 20 })).toBe(true)
  expect(accepts({ memory_kib: 19_455 })).toBe(false)
  expect(accepts({ memory_kib: 2 ** 20 + 1 })).toBe(false)
  expect(accepts({ passes: 0 })).toBe(false)
  expect(accepts({ passes: 2 ** 31 })).toBe(false)
  expect(accepts({ lanes: 0 })).toBe(false)
  expect(accepts({ salt: Buffer.alloc(15).toString('base64') })).toBe(false)
  expect(accepts({ salt: Buffer.alloc(65).toString('base64') })).toBe(false)
  expect(accepts({ secret: 'x' })).toBe(false)
  const acceptsScrypt = (change: object) => ScryptParams.safeParse({ ...scrypt, ...change }).success
  expect(acceptsScrypt({})).toBe(true)
  expect(acceptsScrypt({ n: 2 ** 19 })).toBe(true)
  expect(acceptsScrypt({ n: 2 ** 14 })).toBe(false)
  expect(acceptsScrypt({ n: 2 ** 20 })).toBe(false) // 1 GiB and a little
  expect(acceptsScrypt({ n: 2 ** 19, r: 17 })).toBe(false)
  expect(acceptsScrypt({ n: 40_000 })).toBe(false)
  expect(acceptsScrypt({ r: 1 })).toBe(false)
})

test('more than 16 derivations are not queued up', async () => {
  const stretcher = new Stretcher()
  const all = Array.from({ length: 17 }, () => stretcher.derive(Buffer.from('x'), argon2id))
  const results = await Promise.allSettled(all)
  expect(results.filter(({ status }) => status === 'rejected')).toHaveLength(1)
  await expect(all[16]).rejects.toMatchObject({ code: 'RATE_LIMITED' })
  await stretcher.derive(Buffer.from('x'), argon2id)
})
