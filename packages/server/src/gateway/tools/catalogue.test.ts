import { expect, test } from 'vitest'
import { ToolCatalogue } from './catalogue.ts'
import { configuredTools } from './config-tools.ts'
import { httpTool } from './http-tool.ts'
import { acceptTool } from './tool-file.ts'

const definition = (name: string, path = '/x') => ({
  name,
  description: name,
  base_url: 'https://api.example.com',
  actions: { look: { method: 'GET', path } },
})
const operatorTool = (name: string, path?: string) =>
  httpTool(acceptTool(definition(name, path), name), 'operator')

test('without configuration there are the four built-in tools', () => {
  const tools = configuredTools()
  expect(tools.list().map(({ name, origin }) => `${name} ${origin}`)).toEqual([
    'gmail_send builtin',
    'http_fetch builtin',
    'openai builtin',
    'serpapi builtin',
  ])
  const actions = tools
    .list()
    .flatMap(({ name, actions }) => [...actions.keys()].map((action) => `${name}:${action}`))
  expect(actions).toEqual([
    'gmail_send:send',
    'gmail_send:profile',
    'http_fetch:get',
    'http_fetch:head',
    'openai:chat',
    'openai:complete',
    'serpapi:search',
  ])
})

test('a tool and its action are found by name, and nothing else is', () => {
  const tools = configuredTools()
  expect(tools.find('serpapi', 'search')?.action.name).toBe('search')
  expect(tools.find('serpapi', 'send')).toBeUndefined()
  for (const name of ['', 'SERPAPI', '__proto__', 'constructor', 'toString']) {
    expect(tools.find(name, 'search')).toBeUndefined()
    expect(tools.find('serpapi', name)).toBeUndefined()
  }
})

test('the configuration moves built-in tools and adds others', () => {
  const { name: _name, ...crm } = definition('crm')
  const tools = configuredTools({
    openai: { base_url: 'http://127.0.0.1:9/v1', credential: 'llm/key', max_response_bytes: 10 },
    crm,
  })
  const openai = tools.get('openai')
  expect(openai?.credential?.path).toBe('llm/key')
  expect(tools.get('crm')).toMatchObject({ origin: 'config' })
  expect(tools.isFixed('crm')).toBe(true)
})

test.each<[Record<string, Record<string, unknown>>, string]>([
  [{ openai: { base_uri: 'x' } }, 'gateway.tools.openai: Unrecognized key'],
  [{ openai: { base_url: 'ftp://x' } }, 'gateway.tools.openai: base_url: '],
  [
    { serpapi: { credential: '/x' } },
    'gateway.tools.serpapi: credential: is not a credential path',
  ],
  [
    { http_fetch: { base_url: 'https://x.example' } },
    'gateway.tools.http_fetch: there is nothing to set',
  ],
  [
    { crm: { ...definition('crm'), base_url: 'x' } },
    'gateway.tools.crm: base_url: is not a usable URL',
  ],
  [{ http: definition('http') }, 'gateway.tools.http: name: belongs to a built-in tool'],
  [{ crm: definition('other') }, 'gateway.tools.crm: name: must be "crm" or absent'],
])('configuration %j is refused', (entries, message) => {
  expect(() => configuredTools(entries)).toThrow(
    expect.objectContaining({ code: 'CONFIG_INVALID', message: expect.stringContaining(message) }),
  )
})

test('a name is used once', () => {
  const tool = operatorTool('crm')
  expect(() => new ToolCatalogue([tool], [tool])).toThrow('Two tools are named "crm"')
})

test('operators’ tools come and go, and never hide a tool of the program or the configuration', () => {
  const configured = operatorTool('crm', '/configured')
  const tools = new ToolCatalogue([], [configured])
  expect(tools.replaceOperatorTools([operatorTool('crm', '/evil'), operatorTool('erp')])).toEqual([
    'crm',
  ])
  expect(tools.get('crm')).toBe(configured)
  expect(tools.list().map(({ name }) => name)).toEqual(['crm', 'erp'])
  expect(tools.isFixed('erp')).toBe(false)
  expect(tools.replaceOperatorTools([])).toEqual([])
  expect(tools.get('erp')).toBeUndefined()
})
