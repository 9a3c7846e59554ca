import { execFileSync } from 'node:child_process'
import { chmod, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { SpiffeAuthError } from './errors.ts'
import { fakeClock, svid, unsigned } from './fake-server.test-kit.ts'
import { configureLogging } from './log.ts'
import { JWTSource } from './spiffe.ts'

let directory: string
let path: string
let lines: string[]
const clock = fakeClock()
const nowSeconds = clock.now() / 1000

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'sage-'))
  path = join(directory, 'jwt')
  lines = []
  configureLogging({ format: 'json', level: 'debug', write: (line) => lines.push(line) })
})

afterEach(async () => {
  configureLogging()
  await rm(directory, { recursive: true, force: true })
})

describe('sage §21.10: the SVID file', () => {
  test('is read once while more than 300 s are left', async () => {
    const clock = fakeClock()
    const source = new JWTSource(path, { clock })
    expect(source.isExpired).toBe(true)
    const first = svid(nowSeconds + 1000)
    await writeFile(path, `\n ${first} \n`)
    expect(await source.getToken()).toBe(first)
    expect(source.isExpired).toBe(false)
    await rm(path)
    expect(await source.getToken()).toBe(first)
    clock.advance(699_000)
    expect(await source.getToken()).toBe(first)
    clock.advance(1000)
    expect(source.isExpired).toBe(true)
    await expect(source.getToken()).rejects.toBeInstanceOf(SpiffeAuthError)
  })

  test('is read at every call inside the margin, and a rotation is picked up', async () => {
    const source = new JWTSource(path, { clock })
    const old = svid(nowSeconds + 200)
    await writeFile(path, old)
    expect(await source.getToken()).toBe(old)
    const fresh = svid(nowSeconds + 1800)
    await writeFile(`${path}.tmp`, fresh)
    await rename(`${path}.tmp`, path)
    expect(await source.getToken()).toBe(fresh)
  })

  test('invalidate drops the cache', async () => {
    const source = new JWTSource(path, { clock })
    await writeFile(path, svid(nowSeconds + 1000))
    await source.getToken()
    await writeFile(path, svid(nowSeconds + 2000))
    source.invalidate()
    expect(source.isExpired).toBe(true)
    expect(await source.getToken()).toBe(svid(nowSeconds + 2000))
  })

  test('a refresh is told with path and expiry, and nothing of the token', async () => {
    await writeFile(path, svid(nowSeconds + 1000))
    await new JWTSource(path, { clock }).getToken()
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      { event: 'spiffe_jwt_refreshed', level: 'debug', path, expiry: nowSeconds + 1000 },
    ])
    expect(lines.join('')).not.toContain('eyJ')
  })

  test.each([
    ['empty', '  \n'],
    ['not three parts', 'a.b'],
    ['four parts', `${svid(nowSeconds + 1000)}.x`],
    ['undecodable', 'a.b.c'],
    ['a payload that is no object', unsigned([1])],
    ['without exp', unsigned({ sub: 'x' })],
    ['with exp as text', unsigned({ exp: '9999999999' })],
    ['expired this very second', svid(nowSeconds)],
    ['too large', 'x'.repeat(70_000)],
  ])('%s: 11, and the content is not in the message', async (_, content) => {
    await writeFile(path, content)
    const error = await new JWTSource(path, { clock }).getToken().catch((one) => one)
    expect(error).toBeInstanceOf(SpiffeAuthError)
    expect(error.exitCode).toBe(11)
    if (content.trim().length > 5) expect(error.message).not.toContain(content.trim())
  })

  test('missing, a pipe nobody writes to, or a directory: 11', async () => {
    await expect(new JWTSource(path).getToken()).rejects.toMatchObject({
      exitCode: 11,
      message: expect.stringContaining('does not exist'),
    })
    execFileSync('mkfifo', [path])
    await expect(new JWTSource(path).getToken()).rejects.toMatchObject({ exitCode: 11 })
    await rm(path)
    await mkdir(path)
    await expect(new JWTSource(path).getToken()).rejects.toMatchObject({ exitCode: 11 })
  })

  test.skipIf(process.getuid?.() === 0)('unreadable: 11', async () => {
    await writeFile(path, svid(nowSeconds + 1000))
    await chmod(path, 0)
    await expect(new JWTSource(path).getToken()).rejects.toMatchObject({ exitCode: 11 })
  })
})
