import { randomUUID } from 'node:crypto'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import { advance } from '../harness/clock.ts'
import { eachCluster, type Nodes } from './nodes.ts'
import { ALL_TOOLS, type GatewayNode, type HttpAnswer, LETTER } from './world.ts'

const SPEC = { scopes: ALL_TOOLS }
const newKey = () => `idemp_${Date.now()}_${randomUUID()}`
/** A subject nobody else has, by which the provider's calls are counted. */
const newLetter = () => ({ ...LETTER, subject: `letter ${randomUUID()}` })
const idOf = ({ json }: HttpAnswer): unknown => json.data?.message_id

eachCluster('gateway §19.22, §19.23, §19.24 and §19.25: nothing happens twice', (start) => {
  let nodes: Nodes
  let agentId: string
  let token: string
  beforeAll(async () => {
    nodes = await start()
    agentId = await nodes.first.createAgent()
    await nodes.first.allow(agentId, SPEC)
    token = await nodes.first.token(agentId)
    await vi.waitFor(async () => {
      const { status } = await nodes.last.call(token, 'gmail_send:profile', {})
      expect(status).toBe(200)
    })
  })
  afterEach(() => {
    for (const provider of ['gmail_send', 'serpapi'] as const)
      nodes.providers.become(provider, 'fine')
  })
  afterAll(() => nodes[Symbol.asyncDispose]())

  const send = (
    node: GatewayNode,
    params: object,
    fields: object = {},
    headers: Record<string, string> = {},
    signal?: AbortSignal,
  ) => node.call(token, 'gmail_send:send', params, { ...fields }, headers, signal)

  test('gateway §19.22: the same key twice is one message, wherever it stands', async () => {
    const [letter, key] = [newLetter(), newKey()]
    const answers = [
      await send(nodes.first, { ...letter, idempotency_key: key }),
      await send(nodes.last, { ...letter, idempotencyKey: key }),
      await send(nodes.first, letter, { idempotency_key: key }),
      await send(nodes.last, letter, {}, { 'idempotency-key': key }),
      await send(nodes.last, { ...letter, intent: 'x' }, {}, { 'idempotency-key': key }),
    ]
    expect(nodes.asked(letter.subject)).toBe(1)
    expect(new Set(answers.map(idOf)).size).toBe(1)
    expect(answers[0]).toMatchObject({ status: 200, json: { data: { status: 'sent' } } })
    const replays = answers.map(({ json }) => json.metadata.idempotent_replay)
    expect(replays).toEqual([false, true, true, true, true])
    const [first, ...others] = answers.map(({ json }) => json.data)
    for (const other of others) expect(other).toEqual(first)
  })

  test('gateway §19.22: so is the same key twelve times at once', async () => {
    const [letter, idempotency_key] = [newLetter(), newKey()]
    nodes.providers.become('gmail_send', { slowMs: 200 })
    const answers = await Promise.all(
      Array.from({ length: 12 }, (_, n) =>
        send(n % 2 === 0 ? nodes.first : nodes.last, { ...letter, idempotency_key }),
      ),
    )
    expect(nodes.asked(letter.subject)).toBe(1)
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200))
    expect(new Set(answers.map(idOf)).size).toBe(1)
    expect(answers.filter(({ json }) => !json.metadata.idempotent_replay)).toHaveLength(1)
  })

  test('gateway §19.22: and after a restart, for a day', async () => {
    const [letter, idempotency_key] = [newLetter(), newKey()]
    const before = await send(nodes.first, { ...letter, idempotency_key })
    await nodes.restart()
    const after = await send(nodes.last, { ...letter, idempotency_key })
    expect(after).toMatchObject({ status: 200, json: { metadata: { idempotent_replay: true } } })
    expect(idOf(after)).toBe(idOf(before))
    expect(nodes.asked(letter.subject)).toBe(1)
    advance(23 * 3_600_000)
    token = await nodes.first.token(agentId)
    expect(idOf(await send(nodes.first, { ...letter, idempotency_key }))).toBe(idOf(before))
    advance(2 * 3_600_000)
    token = await nodes.first.token(agentId)
    const nextDay = await send(nodes.last, { ...letter, idempotency_key })
    expect(nextDay.json.metadata.idempotent_replay).toBe(false)
    expect(nodes.asked(letter.subject)).toBe(2)
  })

  test('a key is one agent’s for one action: others may use the same text', async () => {
    const [letter, idempotency_key] = [newLetter(), newKey()]
    const other = await nodes.first.caller(SPEC)
    const mine = await send(nodes.first, { ...letter, idempotency_key })
    const theirs = await nodes.first.call(other.token, 'gmail_send:send', {
      ...letter,
      idempotency_key,
    })
    expect(theirs).toMatchObject({ status: 200, json: { metadata: { idempotent_replay: false } } })
    expect(idOf(theirs)).not.toBe(idOf(mine))
    const search = await nodes.last.call(token, 'serpapi:search', { q: 'a', idempotency_key })
    expect(search).toMatchObject({ status: 200, json: { metadata: { idempotent_replay: false } } })
  })

  test('a keyed search is asked for once, too', async () => {
    const [q, idempotency_key] = [randomUUID(), newKey()]
    const search = (node: GatewayNode) => node.call(token, 'serpapi:search', { q, idempotency_key })
    const [first, second] = [await search(nodes.first), await search(nodes.last)]
    expect(nodes.asked(q)).toBe(1)
    expect(second.json.data).toEqual(first.json.data)
    expect(second.json.metadata.idempotent_replay).toBe(true)
  })

  test('a key that is none is refused, and says so without the words of a policy error', async () => {
    for (const idempotency_key of ['short', 'x'.repeat(129), 'with a space', 'ümlaut-key', 7, {}]) {
      const { status, json } = await send(nodes.first, { ...newLetter(), idempotency_key })
      expect([status, json.code]).toEqual([400, 'INVALID_FIELD'])
      expect(json.error).not.toMatch(/policy|scope/i)
    }
  })

  test('gateway §19.23: the same correlation id and body twice is one call, another id is another', async () => {
    const [letter, q] = [newLetter(), randomUUID()]
    const id = { 'x-correlation-id': `req_${Date.now()}_aaaaaaaaa` }
    const other = { 'x-correlation-id': `req_${Date.now()}_bbbbbbbbb` }
    const first = await send(nodes.first, letter, {}, id)
    const retry = await send(nodes.last, letter, {}, id)
    expect(nodes.asked(letter.subject)).toBe(1)
    expect(idOf(retry)).toBe(idOf(first))
    expect(retry.json.metadata.idempotent_replay).toBe(true)
    expect(idOf(await send(nodes.last, letter, {}, other))).not.toBe(idOf(first))
    expect(nodes.asked(letter.subject)).toBe(2)
    // Reading, too: by the node that was asked before.
    const search = (headers: Record<string, string>) =>
      nodes.first.call(token, 'serpapi:search', { q }, {}, headers)
    const found = await search(id)
    expect((await search(id)).json.data).toEqual(found.json.data)
    expect(nodes.asked(q)).toBe(1)
    await search(other)
    expect(nodes.asked(q)).toBe(2)
    // The same id with another body is another call.
    const second = newLetter()
    expect((await send(nodes.first, second, {}, id)).json.metadata.idempotent_replay).toBe(false)
  })

  test('gateway §19.23: without any id nothing ties two requests together', async () => {
    const letter = newLetter()
    await send(nodes.first, letter)
    await send(nodes.first, letter)
    expect(nodes.asked(letter.subject)).toBe(2)
  })

  test('gateway §19.23: an id is remembered for ten minutes', async () => {
    const letter = newLetter()
    const id = { 'x-correlation-id': `req_${Date.now()}_ccccccccc` }
    token = await nodes.first.token(agentId, { minutes: 60 })
    const first = await send(nodes.first, letter, {}, id)
    advance(9 * 60_000)
    expect(idOf(await send(nodes.last, letter, {}, id))).toBe(idOf(first))
    advance(2 * 60_000)
    expect(idOf(await send(nodes.last, letter, {}, id))).not.toBe(idOf(first))
  })

  test('gateway §19.24: a client that hangs up while a mail is sent finds its id at the retry', async () => {
    for (const keyed of [true, false]) {
      const letter = newLetter()
      const params = keyed ? { ...letter, idempotency_key: newKey() } : letter
      const headers = { 'x-correlation-id': `req_${Date.now()}_${keyed ? 'k' : 'n'}` }
      nodes.providers.become('gmail_send', { slowMs: 400 })
      const hangUp = new AbortController()
      const lost = send(nodes.first, params, {}, headers, hangUp.signal)
      await vi.waitFor(() => expect(nodes.asked(letter.subject)).toBe(1), { interval: 5 })
      hangUp.abort()
      await expect(lost).rejects.toThrow(/abort/i)
      // While it still runs, on either node, and once it is over.
      const [joined, elsewhere] = await Promise.all([
        send(nodes.first, params, {}, headers),
        send(nodes.last, params, {}, headers),
      ])
      const later = await send(nodes.last, params, {}, headers)
      expect(nodes.asked(letter.subject)).toBe(1)
      for (const answer of [joined, elsewhere, later]) {
        expect(answer).toMatchObject({ status: 200, json: { data: { status: 'sent' } } })
        expect(answer.json.metadata.idempotent_replay).toBe(true)
        expect(idOf(answer)).toBe(idOf(joined))
      }
    }
  })

  test('gateway §19.24: a search goes on for its retry as well', async () => {
    const q = randomUUID()
    const headers = { 'x-correlation-id': `req_${Date.now()}_search` }
    nodes.providers.become('serpapi', { slowMs: 300 })
    const hangUp = new AbortController()
    const search = (signal?: AbortSignal) =>
      nodes.first.call(token, 'serpapi:search', { q }, {}, headers, signal)
    const lost = search(hangUp.signal)
    await vi.waitFor(() => expect(nodes.asked(q)).toBe(1), { interval: 5 })
    hangUp.abort()
    await expect(lost).rejects.toThrow(/abort/i)
    expect(await search()).toMatchObject({ status: 200 })
    expect(nodes.asked(q)).toBe(1)
  })

  test('gateway §19.25: a key with other content is a conflict that tells nothing', async () => {
    const [letter, idempotency_key] = [newLetter(), newKey()]
    nodes.providers.become('gmail_send', { slowMs: 200 })
    const conflict = {
      status: 409,
      json: { error: expect.any(String), code: 'IDEMPOTENCY_CONFLICT' },
    }
    const running = send(nodes.first, { ...letter, idempotency_key })
    await vi.waitFor(() => expect(nodes.asked(letter.subject)).toBe(1), { interval: 5 })
    const changed = { ...letter, body: 'another body', idempotency_key }
    const early = await Promise.all(nodes.all.map((node) => send(node, changed)))
    const first = await running
    const late = await Promise.all(nodes.all.map((node) => send(node, changed)))
    const job = await send(nodes.last, changed, { async: true })
    for (const answer of [...early, ...late, job]) {
      expect(answer).toMatchObject(conflict)
      const text = JSON.stringify(answer.json)
      for (const secret of [String(idOf(first)), letter.subject, letter.body, idempotency_key])
        expect(text).not.toContain(secret)
    }
    expect(nodes.asked(letter.subject)).toBe(1)
    expect(idOf(await send(nodes.last, { ...letter, idempotency_key }))).toBe(idOf(first))
  })

  test('gateway §19.25: the same in another order is the same content', async () => {
    const [letter, idempotency_key] = [newLetter(), newKey()]
    const first = await send(nodes.first, { ...letter, idempotency_key })
    const turned = Object.fromEntries(Object.entries({ ...letter, idempotency_key }).reverse())
    expect(idOf(await send(nodes.last, turned))).toBe(idOf(first))
  })

  test('what failed with its outcome unknown is not tried again, and its answer stays', async () => {
    const [letter, idempotency_key] = [newLetter(), newKey()]
    nodes.providers.become('gmail_send', 'drop')
    const first = await send(nodes.first, { ...letter, idempotency_key })
    expect(first.status).toBe(502)
    nodes.providers.become('gmail_send', 'fine')
    for (const node of nodes.all) {
      const again = await send(node, { ...letter, idempotency_key })
      expect([again.status, again.json.code]).toEqual([first.status, first.json.code])
    }
    expect(nodes.asked(letter.subject)).toBe(1)
    // Who knows better takes another key.
    expect((await send(nodes.first, { ...letter, idempotency_key: newKey() })).status).toBe(200)
  })

  test('what failed and may run twice is tried again under its key', async () => {
    const [q, idempotency_key] = [randomUUID(), newKey()]
    const search = (node: GatewayNode) => node.call(token, 'serpapi:search', { q, idempotency_key })
    nodes.providers.become('serpapi', 'drop')
    expect((await search(nodes.first)).status).toBe(502)
    nodes.providers.become('serpapi', 'fine')
    expect(await search(nodes.last)).toMatchObject({
      status: 200,
      json: { metadata: { idempotent_replay: false } },
    })
    expect(nodes.asked(q)).toBe(2)
  })

  test('what was refused before it reached anybody runs under its key once it may', async () => {
    const id = await nodes.first.createAgent()
    const own = await nodes.first.token(id)
    const [letter, idempotency_key] = [newLetter(), newKey()]
    const attempt = (node: GatewayNode) =>
      node.call(own, 'gmail_send:send', { ...letter, idempotency_key })
    expect((await attempt(nodes.first)).status).toBe(400)
    await nodes.first.allow(id, SPEC)
    await vi.waitFor(async () => expect((await attempt(nodes.last)).status).toBe(200))
    expect((await attempt(nodes.first)).json.metadata.idempotent_replay).toBe(true)
    expect(nodes.asked(letter.subject)).toBe(1)
  })
})
