import { expect, test } from 'vitest'
import type { RuntimeMethod, RuntimeRoute } from './route.ts'
import { paramsOf, Router } from './router.ts'
import { parseTarget } from './target.ts'

const segments = (path: string) => parseTarget(`/api/v1/${path}`)?.segments

test('runtime §20.6: no dot, slash or empty id reaches another resource, however it is written', () => {
  for (const id of [
    '..',
    '.',
    '%2e%2e',
    '%2E.',
    '%2e',
    'a%2Fb',
    '%2F',
    'a%5Cb',
    '',
    '%00',
    'a%0Ab',
    '%',
    '%zz',
    '%ff',
  ])
    expect(segments(`agents/${id}/metrics`), id).toBeUndefined()
  expect(segments('agents/')).toBeUndefined()
  expect(segments('agents/../health')).toBeUndefined()
  expect(segments(`agents/${'a'.repeat(257)}`)).toBeUndefined()
  expect(segments(`agents/${'a'.repeat(256)}`)).toHaveLength(2)
  expect(segments(Array.from({ length: 40 }, () => 'a').join('/'))).toBeUndefined()
})

test('segments are decoded once, after they were taken apart', () => {
  expect(segments('agents/a%20b')).toEqual(['agents', 'a b'])
  expect(segments('agents/%C3%BC%40x')).toEqual(['agents', 'ü@x'])
  expect(segments('agents/%252e%252e')).toEqual(['agents', '%2e%2e'])
  expect(segments('secrets/a/db/password')).toEqual(['secrets', 'a', 'db', 'password'])
})

test('a prefix that came twice counts once, one that came three times does not', () => {
  expect(segments('api/v1/health')).toEqual(['health'])
  expect(segments('api/v1/api/v1/health')).toEqual(['api', 'v1', 'health'])
  expect(segments('api/v1')).toEqual(['api', 'v1'])
  expect(segments('api/v1/')).toBeUndefined()
  expect(parseTarget('/api/v1')).toBeUndefined()
  expect(parseTarget('/api/v2/health')).toBeUndefined()
  expect(parseTarget('/api/v%31/health')).toBeUndefined()
})

test('queries are read beside the path, also of absolute targets', () => {
  const target = parseTarget('http://ada:1/api/v1/mcp/tools?server=a%20b&ids=1&ids=2')
  expect(target?.segments).toEqual(['mcp', 'tools'])
  expect(target?.query.get('server')).toBe('a b')
  expect(target?.query.getAll('ids')).toEqual(['1', '2'])
  expect(parseTarget('/api/v1/mcp/tools?x=/../y')?.segments).toEqual(['mcp', 'tools'])
})

function route(method: RuntimeMethod, path: string): RuntimeRoute {
  return { method, path, access: 'key', handle: () => ({ body: {} }) }
}

const router = new Router([
  route('GET', 'agents'),
  route('POST', 'agents'),
  route('GET', 'agents/:id'),
  route('DELETE', 'agents/:agent'),
  route('GET', 'agents/:id/metrics'),
  route('POST', 'agents/deploy'),
  route('GET', 'agents/deployments'),
  route('GET', 'secrets/:agent'),
  route('GET', 'secrets/:agent/*'),
  route('GET', 'secrets/config/migration'),
])

function found(method: RuntimeMethod, path: string) {
  const matched = router.match(path.split('/'))
  const route = matched?.methods.get(method)
  return route && { path: route.path, params: paramsOf(route, matched?.values ?? []) }
}

test('what is written out beats a parameter, whatever the method', () => {
  expect(found('GET', 'agents/scout')).toEqual({ path: 'agents/:id', params: { id: 'scout' } })
  expect(found('DELETE', 'agents/scout')?.params).toEqual({ agent: 'scout' })
  expect(found('GET', 'agents/deployments')?.path).toBe('agents/deployments')
  expect(found('GET', 'agents/deploy')).toBeUndefined()
  expect([...(router.match(['agents', 'deploy'])?.methods.keys() ?? [])]).toEqual(['POST'])
  expect(found('GET', 'agents/deploy/metrics')?.params).toEqual({ id: 'deploy' })
})

test('the rest of a path is one parameter', () => {
  expect(found('GET', 'secrets/scout')?.path).toBe('secrets/:agent')
  expect(found('GET', 'secrets/scout/db/password')?.params).toEqual({
    agent: 'scout',
    '*': 'db/password',
  })
  expect(found('GET', 'secrets/config/migration')?.path).toBe('secrets/config/migration')
  expect(found('GET', 'secrets/config/other')?.params).toEqual({ agent: 'config', '*': 'other' })
})

test('unknown paths match nothing, and no route may be there twice', () => {
  for (const path of ['', 'x', 'agents/a/b', 'secrets', '__proto__', 'agents/a/constructor'])
    expect(router.match(path.split('/')), path).toBeUndefined()
  expect(() => new Router([route('GET', 'a/:b'), route('GET', 'a/:c')])).toThrow(
    expect.objectContaining({ code: 'INTERNAL_ERROR' }),
  )
})
