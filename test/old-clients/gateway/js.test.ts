import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findNode } from '../../harness/packed.ts'
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

const own = Number(process.versions.node.split('.')[0])
const NODES = await Promise.all(
  [18, 20, 22, own].map(async (major) => ({
    major,
    node: major === own ? process.execPath : await findNode(major),
  })),
)

let world: GatewayWorld
let cast: Cast

beforeAll(async () => {
  world = await startGatewayWorld()
  cast = {
    scraper: await world.createAgent('scraper', {}),
    enricher: await world.createAgent('enricher', {}),
    engager: await world.createAgent('email', {}),
    page: MOCK_PAGE,
  }
})
afterAll(() => world?.[Symbol.asyncDispose]())

describe.each(NODES)('JS on Node $major', ({ node }) => {
  const absent = node === undefined
  const connect: Connect = async (agentId, defaultIntent) => {
    const intent = defaultIntent === undefined ? {} : { defaultIntent }
    const { client } = await world.connect('JS', agentId, {
      own: true,
      ...(node !== undefined && { node }),
      ...intent,
    })
    return client
  }

  test.skipIf(absent)('gateway §19.2: its quick start runs, with a token and without', () =>
    quickStart(connect, cast),
  )

  test.skipIf(absent)(
    'gateway §19.2: its examples run with all four tools and the manual’s names',
    () => examples(connect, cast),
  )

  test.skipIf(absent)('gateway §19.2: its jobs are submitted, polled and done', () =>
    jobs(connect, cast),
  )

  test.skipIf(absent)(
    'gateway §19.2: an intent that is set is enforced with the next call',
    async () => {
      const client = await connect(cast.scraper, 'lead_discovery')
      await result(client.proxy('serpapi', 'search', { q: 'a' }))
      await client.setIntent('world_domination')
      const denied = await client.proxy('serpapi', 'search', { q: 'a' })
      expect(denied.raised).toMatchObject({ class: 'GatewayPolicyError', status: 400 })
    },
  )
})
