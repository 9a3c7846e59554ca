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
    protocol: 'http/json',
    timeoutMs: 500,
    headers: {},
  })
  expect(plan(settings).spans?.headers).toEqual({ 'x-a': '1' })
  expect(plan({ ...settings, signals: ['spans'] }).logs).toBeUndefined()
})

test('an export that goes nowhere, or whose address carries a login, is an error', () => {
  expect(() => plan({})).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }))
  expect(() => plan({ endpoint: 'http://me:secret@collector:4318' })).toThrow(
    expect.objectContaining({ code: 'CONFIG_INVALID' }),
  )
})
