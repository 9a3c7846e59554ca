import { describe, expect, test } from 'vitest'
import { ProviderTable } from './providers/provider-table.ts'
import { LlmSettings } from './settings.ts'

const problems = (settings: unknown) =>
  LlmSettings.safeParse(settings).error?.issues.map(
    ({ path, message }) => `${path.join('.')} ${message}`,
  ) ?? []

test('nothing configured means the limits of the wire contract', () => {
  expect(LlmSettings.parse({})).toMatchObject({
    required_scope: 'scan.execute',
    dlp: 'block',
    in_flight_per_run: 16,
    connections: 512,
    body_limit_bytes: 20 * 1_024 * 1_024,
    header_timeout_ms: 10_000,
    body_timeout_ms: 60_000,
    timeout_ms: 110_000,
    first_byte_timeout_ms: 110_000,
    idle_timeout_ms: 150_000,
    stream_timeout_ms: 600_000,
    native_timeout_ms: 600_000,
    heartbeat_ms: 15_000,
    default_max_tokens: 4_096,
  })
})

test.each([
  [{ provider: {} }, 'provider'],
  [{ providers: { OpenAI: {} } }, 'OpenAI'],
  [{ providers: { openai: { url: 'x' } } }, 'url'],
  [{ providers: { openai: { base_url: 'ftp://x' } } }, 'base_url'],
  [{ providers: { openai: { base_url: 'https://x/?key=1' } } }, 'must have no query'],
  [{ providers: { openai: { base_url: 'https://user:secret@x/' } } }, 'must have no query'],
  [{ providers: { ollama: {} } }, 'ollama.base_url is needed'],
  [{ socket_mode: '999' }, 'octal'],
  [{ dlp: 'off' }, 'dlp'],
])('%j is refused, naming what is wrong', (settings, named) => {
  const found = problems(settings).join('; ')
  expect(found).toContain(named)
  expect(found).not.toContain('secret')
})

describe('providers', () => {
  const table = new ProviderTable(
    LlmSettings.parse({
      providers: {
        openai: { base_url: 'http://127.0.0.1:1/v1/', credential: 'team/openai' },
        claude: { kind: 'anthropic' },
        ollama: { base_url: 'http://127.0.0.1:11434/v1', credential: false },
        demo: { kind: 'mock' },
      },
    }),
  )

  test('the known ones are there without an entry, others by their entries', () => {
    expect(table.list().map(({ name, kind, configured }) => [name, kind, configured])).toEqual([
      ['openai', 'openai', true],
      ['anthropic', 'anthropic', false],
      ['google', 'google', false],
      ['claude', 'anthropic', true],
      ['ollama', 'openai-compatible', true],
      ['demo', 'mock', true],
    ])
  })

  test('addresses and keys are those of the entry, else the usual ones', () => {
    expect(table.find('openai')).toMatchObject({
      baseUrl: 'http://127.0.0.1:1/v1',
      credential: 'team/openai',
    })
    expect(table.find('claude')).toMatchObject({
      baseUrl: 'https://api.anthropic.com',
      credential: 'llm/claude',
    })
    expect(table.find('ollama')?.credential).toBeUndefined()
    expect(table.find('demo')?.mock).toBe(true)
    expect(table.find('constructor')).toBeUndefined()
  })
})
