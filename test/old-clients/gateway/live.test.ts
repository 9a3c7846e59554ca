import { expect, test } from 'vitest'
import { credentialOf, LANGUAGES, startGatewayWorld } from './gateway-world.ts'
import { type Connect, examples, quickStart } from './journeys.ts'

test.each(LANGUAGES)(
  'gateway §19.1 and §19.2: %s: the quick start and the examples reach providers, with credentials no client has',
  async (language) => {
    await using world = await startGatewayWorld({ live: true })
    const { providers } = world
    const enricher = await world.createAgent('summariser')
    await world.allow(enricher, {
      scopes: ['http_fetch:*', 'openai:*'],
      intent: 'data_enrichment',
      guards: { allowedDomains: [providers.host] },
    })
    const cast = {
      scraper: await world.createAgent('scraper'),
      enricher,
      engager: await world.createAgent('engager'),
      page: { url: `${providers.baseUrl('page')}/about`, word: 'a page' },
    }
    const connect: Connect = async (agentId, defaultIntent) => {
      const intent = defaultIntent === undefined ? {} : { defaultIntent }
      return (await world.connect(language, agentId, intent)).client
    }
    await quickStart(connect, cast)
    await examples(connect, cast)

    for (const { query, headers } of providers.requests('serpapi')) {
      expect(query.get('api_key')).toBe(credentialOf('serpapi'))
      expect(headers.authorization).toBeUndefined()
    }
    for (const tool of ['openai', 'gmail_send'] as const) {
      for (const { headers } of providers.requests(tool))
        expect(headers.authorization).toBe(`Bearer ${credentialOf(tool)}`)
    }
    for (const { headers, query } of providers.requests('page')) {
      expect(headers).not.toHaveProperty('authorization')
      expect(headers).not.toHaveProperty('x-correlation-id')
      expect([...query]).toEqual([])
    }
    // The letter with a key twice, refused with other content, and the one without: two in all.
    const letters = providers.requests('gmail_send').filter(({ method }) => method === 'POST')
    expect(letters).toHaveLength(2)
    for (const { body } of letters) {
      const letter = Buffer.from(JSON.parse(body).raw, 'base64url').toString('utf8')
      expect(letter).toMatch(/^To: prospect@company\.com\r?$/m)
      expect(letter).toMatch(/^Subject: =\?utf-8\?/im)
    }
  },
)
