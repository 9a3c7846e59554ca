import { createHmac } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import type { Home } from '../../packages/server/src/app/home.ts'
import { operator, putCredential, temporaryHome } from '../harness/boot.ts'
import { startNode } from './world.ts'

const PUBLISHED = 'default-secret-change-in-production'
const GOOD = 'thirty-two characters and a few more'

/** A stopped home whose vault holds the secret. */
async function homeWith(secret: string, production: boolean): Promise<Home & Disposable> {
  const home = temporaryHome()
  await using _node = await startNode(home, { production })
  const admin = await operator(home)
  await putCredential(admin, 'gateway/signing', secret)
  admin.destroy()
  return home
}

const configured = { signing_secret: 'gateway/signing' }
const signedWith = (secret: string, token: string): boolean => {
  const [body = '', signature] = token.split('.')
  return createHmac('sha256', secret).update(body).digest('hex') === signature
}

describe('gateway §19.14: the secret that signs tokens', () => {
  test.each([
    ['published', PUBLISHED, true, configured, /published/],
    ['published', PUBLISHED, false, configured, /published/],
    ['short', 'x'.repeat(31), true, configured, /32 characters/],
    ['short', 'x'.repeat(31), true, { signing_secrets_previous: ['gateway/signing'] }, /32/],
    ['published', PUBLISHED, true, { signing_secrets_previous: ['gateway/signing'] }, /published/],
  ])('a %s one ends the start (%#)', async (_, secret, production, gateway, words) => {
    using home = await homeWith(secret, production)
    const start = startNode(home, { production, gateway })
    await expect(start).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringMatching(words),
    })
    await expect(start).rejects.not.toMatchObject({ message: expect.stringContaining(secret) })
    // Nothing is left open: the same home starts without it.
    await (await startNode(home, { production, gateway: {} }))[Symbol.asyncDispose]()
  })

  test('one that is not in the vault ends it too', async () => {
    using home = temporaryHome()
    const start = startNode(home, { production: true, gateway: configured })
    await expect(start).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
  })

  test('development takes a short one', async () => {
    using home = await homeWith('short', false)
    await using node = await startNode(home, { gateway: configured })
    expect(signedWith('short', (await node.caller()).token)).toBe(true)
  })

  test('without one production signs with what it generated, and goes on with it', async () => {
    using home = temporaryHome()
    let token: string
    {
      await using node = await startNode(home, { production: true })
      ;({ token } = await node.caller())
      expect(signedWith(PUBLISHED, token)).toBe(false)
      const admin = await operator(home)
      await putCredential(admin, 'gateway/signing', GOOD)
      admin.destroy()
    }
    {
      await using node = await startNode(home, { production: true })
      expect((await node.call(token, 'serpapi:search', { q: 'a' })).status).toBe(200)
    }
    // The operator's own takes over, and no token in use ends by that.
    await using node = await startNode(home, { production: true, gateway: configured })
    expect((await node.call(token, 'serpapi:search', { q: 'b' })).status).toBe(200)
    const fresh = await node.caller()
    expect(signedWith(GOOD, fresh.token)).toBe(true)
  })
})
