import { expect, test } from 'vitest'
import { CAPTURE_MODES, type CaptureMode } from './aot.ts'
import { modeOf, previewLenOf, resolveSettings, tieModeOf } from './settings.ts'

const MODES: readonly (CaptureMode | undefined)[] = [undefined, ...CAPTURE_MODES]
const IN_ENV: readonly (string | undefined)[] = [
  ...MODES,
  ' RAW ',
  'Hash',
  'loud',
  'redacted,raw',
  '1',
]

function rank(mode: CaptureMode): number {
  return CAPTURE_MODES.indexOf(mode)
}

test('telemetry §16.10: the mode of a call, for every combination of what may decide it', () => {
  let combinations = 0
  const env = (value: string | undefined) =>
    value === undefined ? {} : { ENVPOD_COAT_CAPTURE: value }
  for (const inEnv of IN_ENV) {
    const written = inEnv?.trim().toLowerCase()
    const known = CAPTURE_MODES.find((mode) => mode === written)
    for (const configured of MODES) {
      for (const ceiling of MODES) {
        for (const configuredAuto of [undefined, false, true]) {
          const settings = resolveSettings(env(inEnv), {
            ...(configured !== undefined && { capture: configured }),
            ...(ceiling !== undefined && { maxCapture: ceiling }),
            ...(configuredAuto !== undefined && { autoCapture: configuredAuto }),
          })
          for (const autoCapture of [undefined, false, true]) {
            for (const capture of MODES) {
              const isOn = autoCapture ?? configuredAuto ?? false
              const fromCode = isOn ? (capture ?? configured ?? 'redacted') : 'none'
              const wanted = inEnv === undefined ? fromCode : (known ?? 'none')
              const top = ceiling ?? 'raw'
              const expected = rank(wanted) <= rank(top) ? wanted : top
              expect(modeOf(settings, { autoCapture, capture })).toBe(expected)
              combinations += 1
            }
          }
        }
      }
    }
  }
  expect(combinations).toBe(11 * 6 * 6 * 3 * 3 * 6)
})

test('telemetry §16.10: a value that is no mode captures nothing, and is named once', () => {
  const settings = resolveSettings({ ENVPOD_COAT_CAPTURE: 'everything' }, {})
  expect(modeOf(settings, { autoCapture: true, capture: 'raw' })).toBe('none')
  expect(tieModeOf(settings)).toBe('none')
  expect(settings.warnings).toEqual([expect.stringContaining('ENVPOD_COAT_CAPTURE must be one of')])

  const misspelt = resolveSettings({}, { capture: 'redactd' as CaptureMode, autoCapture: true })
  expect(modeOf(misspelt, undefined)).toBe('none')
  const wrapper = { autoCapture: true, capture: 'all' as CaptureMode }
  expect(modeOf(resolveSettings({}, {}), wrapper)).toBe('none')
  expect(resolveSettings({}, { maxCapture: 'some' as CaptureMode }).maxCapture).toBe('none')
})

test('telemetry §16.10: the ceiling beats the environment, for ties as well', () => {
  const settings = resolveSettings({ ENVPOD_COAT_CAPTURE: 'raw' }, { maxCapture: 'summary' })
  expect(modeOf(settings, undefined)).toBe('summary')
  expect(tieModeOf(settings)).toBe('summary')
  expect(settings.warnings).toEqual([])
})

test('raw is said at the start', () => {
  const warning = [expect.stringContaining('"raw" is on')]
  expect(resolveSettings({ ENVPOD_COAT_CAPTURE: 'raw' }, {}).warnings).toEqual(warning)
  expect(resolveSettings({}, { capture: 'raw' }).warnings).toEqual(warning)
  expect(resolveSettings({}, {}).warnings).toEqual([])
})

test('without anything set the defaults hold', () => {
  expect(resolveSettings({}, {})).toEqual({
    disabled: false,
    envCapture: undefined,
    autoCapture: false,
    capture: undefined,
    maxCapture: 'raw',
    previewLen: 200,
    envPreviewLen: undefined,
    transport: 'auto',
    inPod: false,
    socketPath: '/run/envpod/queue.sock',
    bufferEvents: 8192,
    bufferBytes: 8 * 1024 * 1024,
    flushMs: 50,
    maxLineBytes: 65_536,
    agentId: '',
    agentRole: '',
    redactKeys: [],
    patterns: [],
    entropy: false,
    hashKey: undefined,
    stack: false,
    ioHints: false,
    flushOnSignals: false,
    otelBridge: false,
    sessionId: undefined,
    runId: undefined,
    traceParent: undefined,
    warnings: [],
  })
})

test.each([
  ['ENVPOD_COAT_PREVIEW_LEN', 'previewLen', '0', 0, ['-1', '65537', '12.5', 'x']],
  ['ENVPOD_COAT_FLUSH_MS', 'flushMs', '1000', 1000, ['0', '60001', '1e3']],
  ['ENVPOD_COAT_MAX_LINE', 'maxLineBytes', '1024', 1024, ['1023', '262145']],
  ['ENVPOD_COAT_BUFFER', 'bufferEvents', '16', 16, ['0', '1000001', 'many', '10/5']],
] as const)('%s: a number out of range is the default', (name, member, given, expected, wrong) => {
  const standard = resolveSettings({}, {})[member]
  expect(resolveSettings({ [name]: given }, {})[member]).toBe(expected)
  expect(resolveSettings({ [name]: '  ' }, {})[member]).toBe(standard)
  for (const value of wrong) {
    const settings = resolveSettings({ [name]: value }, {})
    expect(settings[member]).toBe(standard)
    expect(settings.warnings).toEqual([expect.stringContaining(name)])
  }
})

test('the buffer may be bounded in bytes too', () => {
  const { bufferEvents, bufferBytes } = resolveSettings({ ENVPOD_COAT_BUFFER: '10/4096' }, {})
  expect([bufferEvents, bufferBytes]).toEqual([10, 4096])
})

test('the environment outranks what code says of previews, wrappers included', () => {
  expect(previewLenOf(resolveSettings({}, {}), 10)).toBe(10)
  expect(previewLenOf(resolveSettings({}, { previewLen: 30 }), undefined)).toBe(30)
  expect(previewLenOf(resolveSettings({}, { previewLen: 30 }), -5)).toBe(30)
  const set = resolveSettings({ ENVPOD_COAT_PREVIEW_LEN: '50' }, { previewLen: 30 })
  expect(previewLenOf(set, 10)).toBe(50)
})

test('in a pod only the environment moves events off the socket', () => {
  const pod = { ENVPOD_POD_ID: 'pod_x' }
  expect(resolveSettings(pod, { transport: 'stderr' })).toMatchObject({
    inPod: true,
    transport: 'auto',
    ioHints: true,
    warnings: [expect.stringContaining('ENVPOD_COAT_TRANSPORT alone')],
  })
  expect(resolveSettings(pod, { transport: 'socket' }).transport).toBe('socket')
  expect(resolveSettings({ ...pod, ENVPOD_COAT_TRANSPORT: 'off' }, {}).transport).toBe('off')
  expect(resolveSettings({}, { transport: 'file:/tmp/X' }).transport).toBe('file:/tmp/X')
  const set = { ENVPOD_COAT_TRANSPORT: 'stderr' }
  expect(resolveSettings(set, { transport: 'off' }).transport).toBe('stderr')
  const wrong = resolveSettings({ ENVPOD_COAT_TRANSPORT: 'pigeon' }, { transport: 'off' })
  expect(wrong).toMatchObject({ transport: 'auto', warnings: [expect.any(String)] })
})

test('names, switches and ids are taken as they are meant', () => {
  const settings = resolveSettings(
    {
      ENVPOD_SOCKET: '/tmp/q.sock',
      ENVPOD_AGENT_ID: ' scout ',
      ENVPOD_AGENT_ROLE: 'reader',
      ENVPOD_COAT_REDACT_KEYS: 'badge, ,pass_no',
      ENVPOD_COAT_STACK: '1',
      ENVPOD_COAT_IO_HINTS: 'true',
      ENVPOD_COAT_HASH_KEY: 'ab'.repeat(16),
      ENVPOD_COAT_SESSION_ID: 'sess_1',
      ENVPOD_COAT_RUN_ID: 'run id',
      TRACEPARENT: 'broken',
    },
    { redactKeys: ['seat'], entropy: true },
  )
  expect(settings).toMatchObject({
    socketPath: '/tmp/q.sock',
    agentId: 'scout',
    agentRole: 'reader',
    redactKeys: ['badge', 'pass_no', 'seat'],
    stack: true,
    ioHints: true,
    hashKey: 'ab'.repeat(16),
    sessionId: 'sess_1',
    runId: undefined,
    traceParent: undefined,
    entropy: true,
    warnings: [expect.stringContaining('TRACEPARENT'), expect.stringContaining('RUN_ID')],
  })
  expect(resolveSettings({ ENVPOD_COAT_DISABLED: '1' }, {}).disabled).toBe(true)
  expect(resolveSettings({ ENVPOD_COAT_DISABLED: 'yes' }, {})).toMatchObject({
    disabled: false,
    warnings: [expect.stringContaining('must be 1 or 0')],
  })
})

test('what code gives in another shape is left out, and said', () => {
  const settings = resolveSettings(
    {},
    {
      redactKeys: ['a', 5] as never,
      patterns: [{ name: 'badge', pattern: /B-\d+/ }, { name: 'x' }] as never,
      previewLen: 1e9,
      sessionId: 'mine',
      transport: 'tcp' as never,
    },
  )
  expect(settings).toMatchObject({
    redactKeys: ['a'],
    patterns: [{ name: 'badge' }],
    previewLen: 200,
    sessionId: undefined,
    transport: 'auto',
  })
  expect(settings.warnings).toHaveLength(5)
  for (const line of settings.warnings) expect(line).toMatch(/^configure: /)
})

test('telemetry §16.10: a variable set to nothing captures nothing', () => {
  for (const nothing of ['', '  ']) {
    const settings = resolveSettings({ ENVPOD_COAT_CAPTURE: nothing }, { autoCapture: true })
    expect(modeOf(settings, { autoCapture: true, capture: 'raw' })).toBe('none')
    expect(tieModeOf(settings)).toBe('none')
    expect(settings.warnings).toHaveLength(1)
  }
})

test('telemetry §16.10: neither environment nor settings are what all objects have', () => {
  const polluted = Object.prototype as Record<string, unknown>
  const added = { ENVPOD_COAT_CAPTURE: 'raw', autoCapture: true, ENVPOD_COAT_TRANSPORT: 'off' }
  Object.assign(polluted, added)
  try {
    const settings = resolveSettings({}, {})
    expect(modeOf(settings, undefined)).toBe('none')
    expect(settings.transport).toBe('auto')
  } finally {
    for (const name of Object.keys(added)) delete polluted[name]
  }
})
