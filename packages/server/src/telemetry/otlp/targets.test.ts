import { expect, test } from 'vitest'
import { OtelSettings } from '../settings.ts'
import { exportPlan } from './targets.ts'

const plan = (settings: object) => exportPlan(OtelSettings.parse(settings))

test('paths are appended to the endpoint, whatever it ends in', () => {
  for (const endpoint of [
    'http://collector:4318',
    'http://collector:4318/',
    'http://collector:4318//',
  ]) {
    expect(plan({ endpoint }).logs?.url).toBe('http://collector:4318/v1/logs')
    expect(plan({ endpoint }).spans?.url).toBe('http://collector:4318/v1/traces')
  }
  expect(plan({ endpoint: 'https://api.test/otlp?team=a' }).logs?.url).toBe(
    'https://api.test/otlp/v1/logs?team=a',
  )
})

test('a signal can go elsewhere, or nowhere', () => {
  const settings = {
    endpoint: 'http://one:4318',
    headers: { 'x-a': '1' },
    logs: { endpoint: 'http://two:9/in', protocol: 'http/json', timeout_ms: 500, headers: {} },
  }
  expect(plan(settings).logs).toEqual({
    url: 'http://two:9/in',
    shown: 'http://two:9/in',
    protocol: 'http/json',
    timeoutMs: 500,
    headers: {},
  })
  expect(plan(settings).spans?.headers).toEqual({ 'x-a': '1' })
  expect(plan({ ...settings, signals: ['spans'] }).logs).toBeUndefined()
})

test('what follows the path of an address may be a key, and is shown to nobody', () => {
  const { logs } = plan({ endpoint: 'https://api.test/otlp?api-key=hush' })
  expect([logs?.url, logs?.shown]).toEqual([
    'https://api.test/otlp/v1/logs?api-key=hush',
    'https://api.test/otlp/v1/logs',
  ])
})

test.each([
  { 'Content-Type': 'application/json' },
  { 'content-encoding': 'gzip' },
  { Host: 'elsewhere' },
  { 'x-a': 'one\r\nx-b: two' },
  { 'x-a': 'ö' },
])('headers that cannot be sent are an error at the start: %j', (headers) => {
  expect(() => plan({ endpoint: 'http://collector:4318', headers })).toThrow(
    expect.objectContaining({ code: 'CONFIG_INVALID' }),
  )
})

test('an export that goes nowhere, or whose address carries a login, is an error', () => {
  expect(() => plan({})).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }))
  expect(() => plan({ endpoint: 'http://me:secret@collector:4318' })).toThrow(
    expect.objectContaining({ code: 'CONFIG_INVALID' }),
  )
})
