import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { noPython } from '../client-process.ts'
import { type GatewayWorld, startGatewayWorld } from './gateway-world.ts'
import {
  type Cast,
  type Connect,
  examples,
  jobs,
  MOCK_PAGE,
  quickStart,
  result,
} from './journeys.ts'

let world: GatewayWorld
let cast: Cast

beforeAll(async () => {
  world = await startGatewayWorld({ gateway: { naive_expiry_zone: 'UTC' } })
  cast = {
    scraper: await world.createAgent('scraper', {}),
    enricher: await world.createAgent('enricher', {}),
    engager: await world.createAgent('engager', {}),
    page: MOCK_PAGE,
  }
})
afterAll(() => world?.[Symbol.asyncDispose]())

const absent = noPython !== undefined

describe.each(['compact', 'spaced'] as const)('PY with %s JSON', (jsonStyle) => {
  const connect: Connect = async (agentId, defaultIntent) => {
    const intent = defaultIntent === undefined ? {} : { defaultIntent }
    return (await world.connect('PY', agentId, { jsonStyle, ...intent })).client
  }

  test.skipIf(absent)('gateway §19.1: its quick start runs, with a token and without', () =>
    quickStart(connect, cast),
  )

  test.skipIf(absent)(
    'gateway §19.1: its examples run with all four tools and the manual’s names',
    () => examples(connect, cast),
  )

  test.skipIf(absent)('gateway §19.1: its jobs are submitted, polled and done', () =>
    jobs(connect, cast),
  )
})

test.skipIf(absent)(
  'gateway §19.1: its context manager closes after a call, its dictionary never gets here',
  async () => {
    const { client } = await world.connect('PY', cast.scraper)
    const search = ['serpapi', 'search', { q: 'test' }]
    const within = await result(client.call('within', 'proxy', ...search))
    expect(within.organic_results).toHaveLength(10)
    const manual = { tools: ['serpapi'], permissions: ['read'], ttl_minutes: 15 }
    const { raised, attempts } = await client.call('get_token_with_dict', manual)
    expect(raised?.class).toBe('AttributeError')
    expect(attempts).toEqual([])
  },
)

test.skipIf(absent)(
  'gateway §19.1: an intent that is set is enforced with the next call',
  async () => {
    const { client } = await world.connect('PY', cast.scraper, { defaultIntent: 'lead_discovery' })
    await result(client.proxy('serpapi', 'search', { q: 'a' }))
    await client.setIntent('world_domination')
    const denied = await client.proxy('serpapi', 'search', { q: 'a' })
    expect(denied.raised).toMatchObject({ class: 'GatewayPolicyError', status: 400 })
  },
)

const HOUR = 60
describe.each([
  ['UTC', 10],
  // West of the server: what is left of whole quarters of an hour.
  ['America/Toronto', 10],
  // East of it: the bound.
  ['Asia/Tokyo', HOUR],
  ['Asia/Kathmandu', HOUR],
])('PY in %s', (zone, expected) => {
  test.skipIf(absent).each([undefined, 0])(
    `gateway §19.3: in ${zone} a token for ten minutes lives ${expected} and works at once (microsecond %s)`,
    async (microsecond) => {
      const { client } = await world.connect('PY', cast.scraper, {
        own: true,
        env: { TZ: zone },
        ...(microsecond !== undefined && { microsecond }),
      })
      const token = await result(
        client.getToken({ tools: ['serpapi'], permissions: ['read'], minutes: 10 }),
      )
      const minutes = minutesLeft(token)
      expect(minutes).toBeLessThanOrEqual(expected)
      expect(minutes).toBeGreaterThan(expected - 0.5)
      expect(await result(client.proxy('serpapi', 'search', { q: 'a' }, token))).toBeDefined()
      expect(await result(client.proxy('serpapi', 'search', { q: 'b' }))).toBeDefined()
    },
  )
})

function minutesLeft(token: string): number {
  const claims = JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64').toString('utf8'))
  return (Date.parse(claims.expires_at) - Date.now()) / 60_000
}
