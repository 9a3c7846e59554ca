import { expect, test } from 'vitest'
import { readServerConfig } from './server-config.ts'

const failing = (message: string) =>
  expect.objectContaining({ code: 'INVALID_PARAMS', message: expect.stringContaining(message) })

test('what old clients send is read, nulls included', () => {
  expect(
    readServerConfig({
      name: 'filesystem-server',
      command: ['npx', '@modelcontextprotocol/server-filesystem', '/tmp'],
      env: { NODE_ENV: 'production' },
      cwd: null,
      timeout_seconds: 30,
    }),
  ).toEqual({
    name: 'filesystem-server',
    transport: 'stdio',
    command: ['npx', '@modelcontextprotocol/server-filesystem', '/tmp'],
    url: null,
    env: { NODE_ENV: 'production' },
    headers: {},
    cwd: null,
    timeoutSeconds: 30,
    autoConnect: true,
    restart: false,
    providerPublicKeyUrl: null,
  })
})

test('a command of one address is a remote server, and HEADER_ variables are its headers', () => {
  const old = readServerConfig({
    name: 'crm',
    command: ['https://mcp.example.com/mcp'],
    env: { HEADER_Authorization: 'Bearer secret://crm' },
  })
  const raw = readServerConfig({
    name: 'crm',
    transport: 'streamable_http',
    url: 'https://mcp.example.com/mcp',
    headers: { Authorization: 'Bearer secret://crm' },
  })
  expect(old).toEqual(raw)
  expect(raw).toMatchObject({ transport: 'streamable_http', command: [], env: {} })
  expect(
    readServerConfig({ name: 'crm', transport: 'sse', url: 'https://a.example/' }),
  ).toMatchObject({
    transport: 'sse',
  })
})

test.each([
  [{}, 'name: is required'],
  [{ name: '-x', command: ['a'] }, 'name: must be'],
  [{ name: 'x'.repeat(129), command: ['a'] }, 'name: must be'],
  [{ name: 'a/b', command: ['a'] }, 'name: must be'],
  [{ name: 'x' }, 'command: must name the program'],
  [{ name: 'x', command: [] }, 'command: must name the program'],
  [{ name: 'x', command: ['a\0b'] }, 'command[0]: must not hold a NUL'],
  [{ name: 'x', command: 'npx server' }, 'command: expected array'],
  [{ name: 'x', command: ['a'], cwd: 'relative' }, 'cwd: must be an absolute path'],
  [{ name: 'x', command: ['a'], timeout_seconds: 0 }, 'timeout_seconds'],
  [{ name: 'x', command: ['a'], timeout_seconds: 1.5 }, 'timeout_seconds'],
  [{ name: 'x', command: ['a'], env: { 'A=B': 'c' } }, 'env: "A=B"'],
  [{ name: 'x', command: ['a'], env: { A: 5 } }, 'env.A'],
  [{ name: 'x', command: ['a'], comand: ['b'] }, 'comand'],
  [{ name: 'x', command: ['a'], headers: { A: 'b' } }, 'headers: go with a remote'],
  [{ name: 'x', command: ['a'], url: 'https://a.example/', transport: 'stdio' }, 'url: goes with'],
  [{ name: 'x', command: ['a', 'b'], url: 'https://a.example/' }, 'command: goes with stdio'],
  [{ name: 'x', command: ['https://b.example/'], url: 'https://a.example/' }, 'url: differs'],
  [{ name: 'x', transport: 'sse' }, 'url: is required'],
  [{ name: 'x', url: 'ftp://a.example/' }, 'must begin with https://'],
  [{ name: 'x', url: 'https://user:pw@a.example/' }, 'user info'],
  [{ name: 'x', url: 'https://a.example/', cwd: '/tmp' }, 'cwd: goes with stdio'],
  [{ name: 'x', url: 'https://a.example/', env: { TOKEN: 'x' } }, 'HEADER_<Name> only'],
  [{ name: 'x', url: 'https://a.example/', headers: { Host: 'b' } }, '"Host" cannot be set'],
  [{ name: 'x', url: 'https://a.example/', headers: { 'Mcp-Session-Id': 'b' } }, 'cannot be set'],
  [{ name: 'x', url: 'https://a.example/', headers: { A: 'b', a: 'c' } }, 'given twice'],
  [{ name: 'x', url: 'https://a.example/', headers: { A: 'b\r\nC: d' } }, 'none a header can have'],
  [{ name: 'x', command: ['a'], env: { A: 'x'.repeat(30_000), B: 'x'.repeat(30_000) } }, 'exceeds'],
  [
    { name: 'x', command: ['a'], provider_public_key_url: 'file:///etc' },
    'provider_public_key_url',
  ],
])('%j is refused: %s', (given, message) => {
  expect(() => readServerConfig(given)).toThrow(failing(message))
})

test('a refusal repeats no value of a variable or a header', () => {
  const value = 'sk-4f1e77c2b90d\r\n'
  for (const given of [
    { name: 'x', url: 'https://a.example/', headers: { A: value } },
    { name: 'x', command: ['a'], env: { A: `${value}\0` } },
  ]) {
    try {
      readServerConfig(given)
      expect.unreachable()
    } catch (error) {
      expect(String(error)).not.toContain('4f1e77c2b90d')
    }
  }
})
