import { describe, expect, test } from 'vitest'
import { hostMatches, isExactHost, parseHostPattern, type Target } from './host.ts'

function target(url: string): Target {
  const { protocol, hostname, port, pathname } = new URL(url)
  const scheme = protocol === 'https:' ? 'https' : 'http'
  return {
    scheme,
    host: hostname,
    port: port ? Number(port) : scheme === 'https' ? 443 : 80,
    path: pathname,
  }
}

const matches = (pattern: string, url: string) =>
  hostMatches(parseHostPattern(pattern), target(url))

describe('host patterns', () => {
  test.each([
    ['api.example.com', 'https://api.example.com/x', true],
    ['API.Example.com', 'https://api.example.com/', true],
    ['api.example.com', 'https://api.example.com./', true],
    ['api.example.com', 'https://api.example.com.evil.test/', false],
    ['api.example.com', 'https://evil-api.example.com/', false],
    ['*.example.com', 'https://api.example.com/', true],
    ['*.example.com', 'https://example.com/', false],
    ['*.example.com', 'https://a.b.example.com/', false],
    ['*.example.com', 'https://notexample.com/', false],
    ['*', 'https://anything.test/', true],
    ['api.example.com', 'https://api.example.com:8443/', false],
    ['api.example.com:8443', 'https://api.example.com:8443/', true],
    ['api.example.com:8443', 'https://api.example.com/', false],
    ['api.example.com', 'http://api.example.com/', true],
    ['api.example.com', 'http://api.example.com:443/', false],
    ['127.0.0.1:9000', 'http://127.0.0.1:9000/', true],
    ['127.0.0.1:9000', 'http://0x7f.1:9000/', true],
    ['[::1]:9000', 'http://[::1]:9000/', true],
    ['::1', 'https://[0:0:0:0:0:0:0:1]/', true],
    ['*.0.0.1', 'https://127.0.0.1/', false],
    ['bücher.example', 'https://xn--bcher-kva.example/', true],
    ['localhost', 'https://localhost/', true],
    ['.example.com', 'https://example.com/', true],
    ['.example.com', 'https://a.b.example.com/', true],
    ['.example.com', 'http://www.example.com/', true],
    ['.example.com', 'http://www.example.com:443/', true],
    ['.example.com', 'https://www.example.com:8443/', false],
    ['.example.com', 'https://notexample.com/', false],
    ['.example.com', 'https://example.com.evil.test/', false],
    ['.example.com:8443', 'https://a.example.com:8443/', true],
    ['.example.com:8443', 'https://a.example.com/', false],
    ['.example.com:*', 'https://a.example.com:8443/', true],
    ['.EXAMPLE.com.', 'https://example.com./', true],
    ['.10.0.0.1', 'http://10.0.0.1/', true],
    ['.[::1]', 'https://[::1]/', true],
    ['.[::1]:*', 'https://[::1]:99/', true],
  ])('%s on %s: %s', (pattern, url, expected) => {
    const run = () => matches(pattern, url)
    if (pattern === '*.0.0.1') expect(run).toThrow('Host pattern')
    else expect(run()).toBe(expected)
  })

  test.each([
    ['slack.example/api/*', '/api/chat', true],
    ['slack.example/api/*', '/api/a/b', true],
    ['slack.example/api/*', '/api', false],
    ['slack.example/api/*', '/apix', false],
    ['slack.example/api*', '/apix', true],
    ['slack.example/api/v1', '/api/v1', true],
    ['slack.example/api/v1', '/api/v1/x', false],
    ['slack.example/api/*', '/%61pi/x', true],
    ['slack.example/api/*', '/api/../admin', false],
    ['slack.example/api/*', '/api/%2e%2e/admin', false],
    ['slack.example/api/*', '/api/%2E%2e%2fadmin', false],
    ['slack.example/api/*', '/api/x%2fy', false],
    ['slack.example/api/*', '/api/x%5cy', false],
    ['slack.example/api/*', '/api/%252e%252e/admin', false],
    ['slack.example/api/*', '/api/x%252fy', false],
    ['slack.example/api/*', '/api/..;/admin', false],
    ['slack.example', '/api/x%2fy', true],
  ])('%s on path %s: %s', (pattern, path, expected) => {
    const raw = { scheme: 'https', host: 'slack.example', port: 443, path } as const
    expect(hostMatches(parseHostPattern(pattern), raw)).toBe(expected)
  })

  test.each([
    '',
    'https://a.test',
    'a.test?x',
    'user@a.test',
    'a.*.test',
    '*a.test',
    '**.test',
    'a.test:0',
    'a.test:70000',
    'a.test:x',
    'a.test/a*b',
    'a.test/../x',
    'a.test/x%2fy',
    'a b',
    'a.test,b.test',
    '0x7f.1',
    '*.10.0.0.1',
    'a.test..',
  ])('refuses %j', (pattern) => {
    expect(() => parseHostPattern(pattern)).toThrow(
      expect.objectContaining({ code: 'POLICY_INVALID' }),
    )
  })

  test('only a pattern without a wildcard in its host is exact', () => {
    const at = target('https://10.0.0.5/')
    expect(isExactHost(parseHostPattern('10.0.0.5'), at)).toBe(true)
    expect(isExactHost(parseHostPattern('*'), at)).toBe(false)
    expect(isExactHost(parseHostPattern('10.0.0.6'), at)).toBe(false)
  })
})
