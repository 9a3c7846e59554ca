/** Ready-made gateway policies (wire contract gateway §9.6), as data. */
import type { GatewayDocument } from './gateway-spec.ts'

type Template = GatewayDocument & { role: string }

const ALL_DAYS = [0, 1, 2, 3, 4, 5, 6]
const WORKDAYS = [1, 2, 3, 4, 5]

const strictScraper: Template = {
  name: 'Default Scraper Policy',
  description: 'Searches the web and reads public pages',
  role: 'scraper',
  spec: {
    scopes: ['serpapi:search', 'http_fetch:get', 'http_fetch:head'],
    intent: 'data_collection',
    guards: {
      maxRequestSize: 10_000,
      maxResponseSize: 1_000_000,
      allowedDomains: [
        'google.com',
        'bing.com',
        'yahoo.com',
        'wikipedia.org',
        'linkedin.com',
        'crunchbase.com',
        'github.com',
        'stackoverflow.com',
      ],
      blockedDomains: ['malicious-site.com', 'phishing-example.com'],
      timeWindow: { start: '06:00', end: '22:00', timezone: 'UTC' },
    },
    quotas: [
      { action: 'serpapi:search', limit: 100, window: '24h', resetStrategy: 'sliding' },
      { action: 'http_fetch:get', limit: 500, window: '24h', resetStrategy: 'sliding' },
    ],
    schedule: {
      enabled: true,
      timezone: 'UTC',
      allowedDays: ALL_DAYS,
      allowedHours: { start: 6, end: 22 },
    },
    responseFilters: {
      redactFields: ['api_key', 'password', 'token'],
      truncateFields: [
        { field: 'content', maxLength: 1_000 },
        { field: 'description', maxLength: 500 },
      ],
    },
  },
}

const strictEnricher: Template = {
  name: 'Default Enricher Policy',
  description: 'Adds to what is known of a lead, with a model and a few sources',
  role: 'enricher',
  spec: {
    scopes: ['http_fetch:get', 'http_fetch:head', 'openai:chat', 'openai:complete'],
    intent: 'data_enrichment',
    guards: {
      maxRequestSize: 50_000,
      maxResponseSize: 5_000_000,
      allowedDomains: [
        'api.openai.com',
        'api.company.com',
        'api.data-provider.com',
        'example.com',
        'test.com',
      ],
      piiFilters: ['email', 'phone', 'ssn', 'credit_card'],
    },
    quotas: [
      { action: 'openai:chat', limit: 50, window: '24h', resetStrategy: 'sliding' },
      { action: 'openai:complete', limit: 25, window: '24h', resetStrategy: 'sliding' },
      { action: 'http_fetch:get', limit: 200, window: '24h', resetStrategy: 'sliding' },
    ],
    schedule: {
      enabled: true,
      timezone: 'UTC',
      allowedDays: WORKDAYS,
      allowedHours: { start: 8, end: 18 },
    },
    responseFilters: {
      redactFields: ['api_key', 'password', 'token', 'secret'],
      truncateFields: [
        { field: 'choices', maxLength: 2_000 },
        { field: 'content', maxLength: 2_000 },
      ],
      blockPatterns: ['password', 'secret', 'private_key'],
    },
  },
}

const strictEngager: Template = {
  name: 'Default Engager Policy',
  description: 'Writes to leads by mail',
  role: 'engager',
  spec: {
    scopes: ['gmail_send:send', 'gmail_send:profile'],
    intent: 'communication',
    guards: {
      maxRequestSize: 20_000,
      maxResponseSize: 100_000,
      timeWindow: { start: '09:00', end: '17:00', timezone: 'America/New_York' },
    },
    quotas: [{ action: 'gmail_send:send', limit: 10, window: '24h', resetStrategy: 'sliding' }],
    schedule: {
      enabled: true,
      timezone: 'America/New_York',
      allowedDays: WORKDAYS,
      allowedHours: { start: 9, end: 17 },
    },
    responseFilters: {
      redactFields: ['access_token', 'refresh_token'],
      truncateFields: [
        { field: 'body', maxLength: 500 },
        { field: 'subject', maxLength: 100 },
      ],
    },
  },
}

/** At any hour, and for every intent that the published examples use. */
function relaxed({ spec, ...rest }: Template, intent: string[]): Template {
  const { timeWindow: _, ...guards } = spec.guards ?? {}
  return {
    ...rest,
    spec: { ...spec, intent, guards, schedule: { ...spec.schedule, enabled: false } },
  }
}

const scraper = relaxed(strictScraper, ['data_collection', 'lead_discovery'])
const engager = relaxed(strictEngager, ['communication', 'email_engagement', 'outreach_send'])

function enricherPolicy(): Template {
  const { spec, ...rest } = relaxed(strictEnricher, ['data_enrichment', 'enrichment_summary'])
  // A plain word match on "password" blocks half the web.
  const { blockPatterns: _, ...responseFilters } = spec.responseFilters ?? {}
  return { ...rest, spec: { ...spec, responseFilters } }
}

const enricher = enricherPolicy()

/** One agent for everything: tries the four tools out. */
const sdkDemo: Template = {
  name: 'SDK Demo Policy',
  description: 'Every action of the four built-in tools, for trying them out',
  role: 'demo',
  spec: {
    scopes: ['serpapi:*', 'http_fetch:*', 'openai:*', 'gmail_send:*'],
    guards: { allowedDomains: ['example.com'] },
  },
}

/** What is there after the first start. */
export const DEFAULT_ROLE_POLICIES: readonly Template[] = [
  scraper,
  enricher,
  engager,
  { ...engager, role: 'email' },
]

export const GATEWAY_TEMPLATES: Readonly<Record<string, Template>> = {
  scraper,
  enricher,
  engager,
  email: { ...engager, role: 'email' },
  sdk_demo: sdkDemo,
  strict_scraper: strictScraper,
  strict_enricher: strictEnricher,
  strict_engager: strictEngager,
}
