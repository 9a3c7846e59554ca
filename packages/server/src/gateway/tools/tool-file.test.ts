import { expect, test } from 'vitest'
import { httpTool } from './http-tool.ts'
import { acceptTool, parseToolFile } from './tool-file.ts'

const YAML = `
name: crm
description: Our CRM
base_url: https://CRM.example.com/api/v2/
credential: { path: crm/token }
actions:
  find_contact:
    description: Finds one contact
    method: GET
    path: /contacts/{id}
    params:
      type: object
      properties: { region: { type: string }, id: { type: string }, expand: { type: string } }
      required: [id, region]
      additionalProperties: false
    headers: { X-Region: "{region}" }
    result: /data/contact
  add_note:
    method: POST
    path: /contacts/{id}/notes
    params:
      properties: { id: { type: integer }, text: { type: string }, pinned: { type: boolean } }
      required: [id, text]
    idempotency_header: Idempotency-Key
    cost_usd: 0.002
`

const action = (more: object = {}) => ({ method: 'GET', path: '/x', ...more })
const tool = (more: object = {}) => ({
  name: 'crm',
  description: 'Our CRM',
  base_url: 'https://crm.example.com',
  actions: { look: action() },
  ...more,
})
const withAction = (more: object) => tool({ actions: { look: action(more) } })
const params = (properties: object, required: string[] = Object.keys(properties)) => ({
  properties,
  required,
})
const text = { type: 'string' }
const problem = (data: unknown) => {
  try {
    acceptTool(data, 'crm.yaml')
  } catch (error) {
    expect(error).toMatchObject({ code: 'CONFIG_INVALID' })
    return (error as Error).message
  }
  throw new Error('the tool was taken')
}

test('a file is read, and every default is filled in', () => {
  expect(parseToolFile(YAML, 'crm.yaml')).toEqual({
    name: 'crm',
    description: 'Our CRM',
    base_url: 'https://crm.example.com/api/v2',
    credential: { path: 'crm/token', header_type: 'bearer' },
    actions: {
      find_contact: {
        description: 'Finds one contact',
        method: 'GET',
        path: '/contacts/{id}',
        permission: 'read',
        params: {
          type: 'object',
          properties: { region: text, id: text, expand: text },
          required: ['id', 'region'],
          additionalProperties: false,
        },
        query: ['expand'],
        body: [],
        headers: { 'X-Region': '{region}' },
        result: '/data/contact',
        repeatable: true,
        timeout_ms: 10_000,
        max_response_bytes: 1_048_576,
        cache_seconds: 0,
        cost_usd: 0,
      },
      add_note: {
        description: '',
        method: 'POST',
        path: '/contacts/{id}/notes',
        permission: 'write',
        params: {
          type: 'object',
          properties: { id: { type: 'integer' }, text, pinned: { type: 'boolean' } },
          required: ['id', 'text'],
        },
        query: [],
        body: ['pinned', 'text'],
        headers: {},
        repeatable: false,
        idempotency_header: 'Idempotency-Key',
        timeout_ms: 10_000,
        max_response_bytes: 1_048_576,
        cache_seconds: 0,
        cost_usd: 0.002,
      },
    },
  })
})

test('what was read reads the same again, as JSON too', () => {
  const read = parseToolFile(YAML, 'crm.yaml')
  expect(acceptTool(read, 'again')).toEqual(read)
  expect(parseToolFile(JSON.stringify(read), 'crm.json')).toEqual(read)
})

test('a credential without a path is the tool’s own; it may go into the query', () => {
  expect(acceptTool(tool({ credential: {} }), 'x').credential).toEqual({
    path: 'tools/crm',
    header_type: 'bearer',
  })
  const inQuery = acceptTool(tool({ credential: { query: 'key' } }), 'x')
  expect(inQuery.credential).toEqual({ path: 'tools/crm', query: 'key' })
  expect(httpTool(inQuery, 'config').credential?.inject).toEqual({ query: 'key' })
})

test.each<[string, unknown, string]>([
  ['no object', 5, 'crm.yaml: expected object, received number'],
  ['a misspelt key', tool({ base_uri: 'x' }), 'crm.yaml: Unrecognized key: "base_uri"'],
  ['no base URL', { ...tool(), base_url: undefined }, 'crm.yaml: base_url: is required'],
  ['a bad name', tool({ name: 'CRM' }), 'crm.yaml: name: must be 1 to 32 lower-case letters'],
  ['a long name', tool({ name: 'c'.repeat(33) }), 'crm.yaml: name: must be 1 to 32'],
  ['the name of a built-in tool', tool({ name: 'openai' }), 'name: belongs to a built-in tool'],
  ['a relative base URL', tool({ base_url: '/api' }), 'base_url: is not a usable URL'],
  ['user info', tool({ base_url: 'https://u:p@x.example' }), 'base_url: is not a usable URL'],
  [
    'a query in the base URL',
    tool({ base_url: 'https://x.example/?a=b' }),
    'base_url: must have no query',
  ],
  ['a fragment in it', tool({ base_url: 'https://x.example/#a' }), 'base_url: must have no query'],
  [
    'a metadata host',
    tool({ base_url: 'http://metadata.google.internal' }),
    'base_url: is not a usable URL',
  ],
  [
    'a bad credential path',
    tool({ credential: { path: '../x' } }),
    'credential.path: is not a credential path',
  ],
  [
    'a header and a query',
    tool({ credential: { query: 'k', header_type: 'bearer' } }),
    'credential: must name either',
  ],
  [
    'a nameless header',
    tool({ credential: { header_type: 'custom' } }),
    'credential: header_type "custom" needs header_name',
  ],
  [
    'a credential in a cookie',
    tool({ credential: { header_type: 'custom', header_name: 'Cookie' } }),
    'credential: Header "Cookie" cannot carry a secret',
  ],
  ['no action', tool({ actions: {} }), 'actions: must have at least one action'],
  ['a bad name of an action', tool({ actions: { 'a-b': action() } }), 'actions.a-b: must be named'],
  [
    'an action named like a permission',
    tool({ actions: { read: action() } }),
    'actions.read: must not be named like a permission',
  ],
  ['another method', withAction({ method: 'TRACE' }), 'actions.look.method: '],
  ['a relative path', withAction({ path: 'x' }), 'actions.look.path: must begin with /'],
  ['a dot segment', withAction({ path: '/../x' }), 'actions.look.path: has a dot segment'],
  [
    'a query in the path',
    withAction({ path: '/x?a=b' }),
    'actions.look.path: must be a plain path',
  ],
  [
    'an unknown placeholder',
    withAction({ path: '/{id}' }),
    'actions.look.path: {id} is not among the params',
  ],
  [
    'an optional placeholder',
    withAction({ path: '/{id}', params: params({ id: text }, []) }),
    'actions.look.path: {id} must be required',
  ],
  [
    'a placeholder that is a list',
    withAction({ path: '/{id}', params: params({ id: { type: 'array' } }) }),
    'actions.look.path: {id} must be text',
  ],
  [
    'a placeholder that may be null',
    withAction({ path: '/{id}', params: params({ id: { type: ['string', 'null'] } }) }),
    'actions.look.path: {id} must be text',
  ],
  [
    'a placeholder of any type',
    withAction({ path: '/{id}', params: params({ id: {} }) }),
    'actions.look.path: {id} must be text',
  ],
  [
    'an unknown placeholder in a header',
    withAction({ headers: { 'X-A': '{a}' } }),
    'actions.look.headers.X-A: {a} is not among the params',
  ],
  [
    'half a placeholder in a header',
    withAction({ headers: { 'X-A': '{a' } }),
    'actions.look.headers.X-A: has a placeholder',
  ],
  [
    'a line break in a header',
    withAction({ headers: { 'X-A': 'a\r\nb' } }),
    'actions.look.headers.X-A: must be visible ASCII',
  ],
  [
    'a bad name of a header',
    withAction({ headers: { 'X A': 'a' } }),
    'actions.look.headers.X A: is not the name of a header',
  ],
  [
    'a header that steers',
    withAction({ headers: { Host: 'a' } }),
    'actions.look.headers.Host: is not for a tool to set',
  ],
  [
    'an authorization of its own',
    withAction({ headers: { authorization: 'a' } }),
    'is not for a tool to set',
  ],
  [
    'a header twice',
    withAction({ headers: { 'X-A': 'a', 'x-a': 'b' } }),
    'actions.look.headers.x-a: is given twice',
  ],
  [
    'the credential’s header',
    tool({
      credential: { header_type: 'api_key' },
      actions: { look: action({ headers: { 'x-api-key': 'a' } }) },
    }),
    'actions.look.headers.x-api-key: carries the credential',
  ],
  [
    'the credential’s header for keys',
    tool({
      credential: { header_type: 'api_key' },
      actions: { look: action({ idempotency_header: 'X-Api-Key' }) },
    }),
    'actions.look.idempotency_header: carries the credential',
  ],
  [
    'the credential’s query parameter',
    tool({
      credential: { query: 'key' },
      actions: { look: action({ params: params({ key: text }) }) },
    }),
    'actions.look.query: "key" carries the credential',
  ],
  [
    'a query that is no param',
    withAction({ query: ['a'] }),
    'actions.look.query: "a" is not among the params',
  ],
  [
    'a param sent nowhere',
    withAction({ params: params({ a: text }), query: [] }),
    'actions.look.params.properties.a: "a" is sent nowhere',
  ],
  [
    'a param sent twice',
    withAction({ path: '/{a}', params: params({ a: text }), query: ['a'] }),
    'actions.look.params.properties.a: "a" is sent twice',
  ],
  [
    'a body of GET',
    withAction({ params: params({ a: text }), body: ['a'] }),
    'actions.look.body: GET sends none',
  ],
  [
    'a raw body that is no text',
    withAction({ method: 'POST', params: params({ a: { type: 'object' } }), body: { raw: 'a' } }),
    'actions.look.body.raw: must name a param of type "string"',
  ],
  ['a bad pointer', withAction({ result: 'data' }), 'actions.look.result: must be a JSON pointer'],
  [
    'a bad pointer among others',
    withAction({ result: { a: '/x', b: 'y' } }),
    'actions.look.result.b: must be a JSON pointer',
  ],
  [
    'a cached write',
    withAction({ method: 'POST', cache_seconds: 5 }),
    'actions.look.cache_seconds: must be 0',
  ],
  [
    'a reserved param',
    withAction({ params: params({ idempotency_key: text }) }),
    'is reserved: the gateway itself reads it',
  ],
  [
    'a param no template can name',
    withAction({ params: params({ 'a b': text }) }),
    'is not a name for a param',
  ],
  [
    'a param named like a prototype',
    withAction({ params: JSON.parse('{"properties":{"__proto__":{}}}') as object }),
    'actions.look.params: must have no member named __proto__',
  ],
  [
    'a bad schema',
    withAction({ params: params({ a: { type: 'text' } }) }),
    'actions.look.params: is not a usable JSON Schema',
  ],
  [
    'a misspelt bound',
    withAction({ params: params({ a: { type: 'string', maxLenght: 3 } }) }),
    'actions.look.params: is not a usable JSON Schema',
  ],
  [
    'a remote reference',
    withAction({ params: params({ a: { $ref: 'https://x.example' } }) }),
    'actions.look.params: is not a usable JSON Schema',
  ],
  [
    'a deep schema',
    withAction({
      params: params({ a: JSON.parse(`${'{"not":'.repeat(40)}{}${'}'.repeat(40)}`) as object }),
    }),
    'actions.look.params: must not nest deeper than 32',
  ],
  [
    'a mock that is no JSON',
    withAction({ mock: new Date(0) }),
    'actions.look.mock: must be plain JSON',
  ],
  ['a timeout too long', withAction({ timeout_ms: 120_001 }), 'actions.look.timeout_ms: '],
  ['a negative price', withAction({ cost_usd: -1 }), 'actions.look.cost_usd: '],
])('%s is refused', (_name, data, message) => {
  expect(problem(data)).toContain(message)
})

test('problems say where they are in the file, and all of them are told', () => {
  expect(() => parseToolFile(YAML.replace('0.002', '-1'), 'crm.yaml')).toThrow(
    /^crm\.yaml:25:15: actions\.add_note\.cost_usd: /,
  )
  const two = YAML.replace('/data/contact', 'data').replace('name: crm', 'name: openai')
  expect(() => parseToolFile(two, 'crm.yaml')).toThrow(
    'crm.yaml:2:7: name: belongs to a built-in tool\n' +
      'crm.yaml:17:13: actions.find_contact.result: must be a JSON pointer such as /data/0/id',
  )
})

test('files that are no YAML, have a key twice or grow without end are refused', () => {
  const refused = expect.objectContaining({ code: 'CONFIG_INVALID' })
  const bomb = `a: &a [x,x]\nb: &b [${'*a,'.repeat(50)}]\nc: &c [${'*b,'.repeat(50)}]\nd: [${'*c,'.repeat(50)}]`
  for (const source of ['a: [', 'name: a\nname: b', bomb, 'x'.repeat(262_145), '']) {
    expect(() => parseToolFile(source, 'crm.yaml')).toThrow(refused)
  }
})

test('equal tools have equal digests, however they are written', () => {
  const digest = (source: string) => httpTool(parseToolFile(source, 'x'), 'operator').digest
  const reordered = YAML.replace(
    '{ region: { type: string }, id: { type: string }, expand: { type: string } }',
    '{ expand: { type: string }, id: { type: string }, region: { type: string } }',
  )
    .replace('{ path: crm/token }', '{ header_type: bearer, path: crm/token }')
    .replace('/api/v2/', '/api/v2')
    .replace('method: POST', 'method: POST\n    permission: write\n    repeatable: false')
  expect(reordered).not.toBe(YAML)
  expect(digest(reordered)).toBe(digest(YAML))
})

test('changing anything makes it another tool', () => {
  const read = parseToolFile(YAML, 'x')
  const leaves = (value: unknown, path: string[] = []): string[][] =>
    typeof value === 'object' && value !== null
      ? Object.entries(value).flatMap(([name, member]) => leaves(member, [...path, name]))
      : [path]
  const all = leaves(read)
  const before = httpTool(read, 'operator').digest
  for (const path of all) {
    const changed = structuredClone(read)
    let at = changed as unknown as Record<string, unknown>
    for (const step of path.slice(0, -1)) at = at[step] as Record<string, unknown>
    const last = path.at(-1) ?? ''
    const value = at[last]
    // The digest is of the definition, whether or not such a tool could be added.
    at[last] =
      typeof value === 'number' ? value + 1 : typeof value === 'boolean' ? !value : `${value}x`
    let digest: string
    try {
      digest = httpTool(changed, 'operator').digest
    } catch {
      continue // no usable schema any more
    }
    expect(digest, path.join('.')).not.toBe(before)
  }
})
