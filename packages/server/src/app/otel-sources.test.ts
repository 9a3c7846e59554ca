import { mkdtempDisposableSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { loadConfig } from './config.ts'

interface Given {
  file?: string
  pod?: string
  env?: Record<string, string>
}

function otel({ file = '', pod, env = {} }: Given) {
  const dir = mkdtempDisposableSync(join(tmpdir(), 'vestry-otel-'))
  onTestFinished(() => dir.remove())
  const write = (name: string, text: string): string => {
    writeFileSync(join(dir.path, name), text)
    return join(dir.path, name)
  }
  const podFile = pod === undefined ? undefined : write('pod.yaml', pod)
  return loadConfig(write('vestry.yaml', file), env, { pod: podFile }).telemetry.otel
}

const FILE = 'telemetry: { otel: { endpoint: "http://file:4318" } }'
const HOST = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://host:4318' }
const invalid = expect.objectContaining({ code: 'CONFIG_INVALID' })

test('nothing is exported unless somebody says where to', () => {
  expect(otel({})).toBeUndefined()
  expect(otel({ env: { OTEL_EXPORTER_OTLP_HEADERS: 'a=b' } })).toBeUndefined()
  expect(otel({ pod: 'name: ledger' })).toBeUndefined()
})

test('a pod’s file wins over ours, ours over the host', () => {
  const pod = 'otel: { endpoint: "http://pod:4318", service_name: ledger }'
  expect(otel({ file: FILE, env: HOST, pod })).toMatchObject({
    endpoint: 'http://pod:4318',
    service_name: 'ledger',
  })
  expect(otel({ file: FILE, env: HOST })?.endpoint).toBe('http://file:4318')
  expect(otel({ env: HOST })?.endpoint).toBe('http://host:4318')
})

describe('the older spelling in a pod’s file', () => {
  test('means the same', () => {
    const pod = 'monitoring: { otlp: { endpoint: "http://pod:4318", service_name: ledger } }'
    expect(otel({ pod })).toMatchObject({ endpoint: 'http://pod:4318', service_name: 'ledger' })
    const both = `${pod}\notel: { endpoint: "http://pod:4318", content: redacted }`
    expect(otel({ pod: both })?.content).toBe('redacted')
  })

  test('must not contradict the newer one', () => {
    const pod = 'otel: { endpoint: "http://a:1" }\nmonitoring: { otlp: { endpoint: "http://b:1" } }'
    expect(() => otel({ pod })).toThrow(invalid)
  })
})

test('a pod’s file that cannot be used is an error that names it', () => {
  for (const pod of ['[', '7', 'otel: 7', 'monitoring: { otlp: 7 }', 'otel: { endpoit: x }'])
    expect(() => otel({ pod })).toThrow(invalid)
  expect(() => loadConfig('/nowhere.yaml', {}, { pod: '/nowhere/pod.yaml' })).toThrow(invalid)
  const named = expect.objectContaining({
    hint: expect.stringMatching(/"otel" section of .*pod\.yaml$/),
  })
  expect(() => otel({ pod: 'otel: { endpoint: 5 }' })).toThrow(named)
})

describe('the host’s variables', () => {
  test('fill in what the file leaves open', () => {
    expect(
      otel({
        env: {
          ...HOST,
          OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
          OTEL_EXPORTER_OTLP_TIMEOUT: '3000',
          OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Bearer%20x, x-team=a',
        },
      }),
    ).toMatchObject({
      endpoint: 'http://host:4318',
      protocol: 'http/json',
      timeout_ms: 3000,
      headers: { authorization: 'Bearer x', 'x-team': 'a' },
    })
    expect(otel({ file: FILE, env: { OTEL_EXPORTER_OTLP_HEADERS: 'x-team=a' } })).toMatchObject({
      endpoint: 'http://file:4318',
      headers: { 'x-team': 'a' },
    })
  })

  test('send no headers to another receiver than they were set for', () => {
    const env = { ...HOST, OTEL_EXPORTER_OTLP_HEADERS: 'authorization=x' }
    expect(otel({ file: FILE, env })?.headers).toEqual({})
  })

  test('tell the signals apart', () => {
    expect(
      otel({
        env: {
          OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://traces:4318/v1/traces',
          OTEL_LOGS_EXPORTER: 'none',
        },
      }),
    ).toMatchObject({ signals: ['spans'], traces: { endpoint: 'http://traces:4318/v1/traces' } })
  })

  test('can switch it off, and must be understood', () => {
    expect(otel({ env: { ...HOST, OTEL_SDK_DISABLED: 'true' } })).toBeUndefined()
    for (const [name, value] of [
      ['PROTOCOL', 'grpc'],
      ['TIMEOUT', 'soon'],
      ['HEADERS', 'no-equals-sign'],
      ['HEADERS', 'a=%'],
    ])
      expect(() =>
        otel({ env: { ...HOST, [`OTEL_EXPORTER_OTLP_${name}`]: value as string } }),
      ).toThrow(invalid)
  })
})
