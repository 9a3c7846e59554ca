import { expect, test } from 'vitest'
import { coat, stats, tie } from './index.ts'
import { record } from './recorder.test-kit.ts'

const ON = { ENVPOD_COAT_CAPTURE: 'redacted' }

test('a tie hangs below the innermost span', () => {
  const recorder = record()
  expect(coat('step', () => tie('batch', { i: 1, password: 'x' }))()).toBeUndefined()
  const { ids } = recorder.only('start')
  const point = recorder.only('point')
  expect(point).toMatchObject({
    kind: 'x.coat.tie',
    mode: 'redacted',
    ids: { ...ids, parent_span_id: ids.span_id, span_id: expect.stringMatching(/^sp_/) },
    payload: { name: 'batch', data: { i: 1, password: '[redacted:key]' } },
  })
  expect(point.ids.span_id).not.toBe(ids.span_id)
  expect(point.payload).not.toHaveProperty('duration_ms')
})

test('outside every span a tie belongs to the session alone', () => {
  const recorder = record()
  tie('n'.repeat(70))
  expect(recorder.only('point')).toMatchObject({
    ids: { trace_id: '', span_id: '', parent_span_id: '', run_id: '', step_id: '' },
    payload: { name: 'n'.repeat(64), orphan: true },
  })
  expect(recorder.only('point').ids.session_id).toMatch(/^sess_/)
  expect(recorder.only('point').payload).not.toHaveProperty('data')
})

test('what is handed over is told redacted, unless the environment says otherwise', () => {
  const told = (env: Record<string, string>, configuration = {}) => {
    const recorder = record(env, configuration)
    tie('x', 'text')
    const { mode, payload } = recorder.only('point')
    return [mode, payload['data']]
  }
  expect(told({})).toEqual(['redacted', 'text'])
  expect(told({ ENVPOD_COAT_CAPTURE: 'none' })).toEqual(['none', '<string len=4>'])
  expect(told({ ENVPOD_COAT_CAPTURE: 'nonsense' })).toEqual(['none', '<string len=4>'])
  expect(told({ ENVPOD_COAT_CAPTURE: 'raw' })).toEqual(['raw', 'text'])
  expect(told({ ENVPOD_COAT_CAPTURE: 'hash' })[1]).toMatch(/^h:[0-9a-f]{32}:len=4$/)
  expect(told({}, { capture: 'none' })).toEqual(['none', '<string len=4>'])
  expect(told({}, { maxCapture: 'none' })).toEqual(['none', '<string len=4>'])
})

test('a tie never throws, whatever it is given', () => {
  const recorder = record()
  const hostile = new Proxy(
    {},
    {
      get() {
        throw new Error('trap')
      },
    },
  )
  const circular: Record<string, unknown> = {}
  circular['self'] = circular
  for (const data of [hostile, circular, Symbol('s'), 1n, () => {}, undefined, Number.NaN])
    tie('x', data)
  ;(tie as (name: unknown) => void)(hostile)
  ;(tie as (name: unknown) => void)(Symbol('name'))
  ;(tie.scope as (thunk: unknown) => void)(5)
  expect(recorder.events).toHaveLength(9)
})

test('telemetry §16.7: a scope tells the last values on return and on throw', () => {
  const recorder = record(ON)
  const count = coat('step', (fail: boolean) => {
    let done = 0
    let last: string | undefined
    tie.scope(() => ({ done, last }))
    for (const item of ['a', 'b']) {
      done += 1
      last = item
    }
    if (fail) throw new Error('late')
  })
  count(false)
  expect(() => count(true)).toThrow('late')
  const locals = recorder.spans().map(({ end }) => end?.payload['locals'])
  expect(locals).toEqual([
    { done: 2, last: 'b' },
    { done: 2, last: 'b' },
  ])
})

test('telemetry §16.7: a scope tells the last values of asynchronous functions and generators', async () => {
  const recorder = record(ON)
  const later = coat('step', async () => {
    let at = 'start'
    tie.scope(() => ({ at }))
    await new Promise(setImmediate)
    at = 'end'
  })
  await later()
  const each = coat('step', function* () {
    let n = 0
    tie.scope(() => ({ n }))
    while (n < 3) {
      n += 1
      yield n
    }
  })
  expect([...each()]).toEqual([1, 2, 3])
  const eachLater = coat('step', async function* () {
    let n = 0
    tie.scope(() => ({ n }))
    while (n < 3) {
      n += 1
      yield n
    }
    throw new Error('over')
  })
  await expect(
    (async () => {
      for await (const _ of eachLater());
    })(),
  ).rejects.toThrow('over')
  const locals = recorder.spans().map(({ end }) => end?.payload['locals'])
  expect(locals).toEqual([{ at: 'end' }, { n: 3 }, { n: 3 }])
})

test('telemetry §16.7: while nothing is captured a scope is not evaluated', () => {
  const recorder = record()
  let evaluated = 0
  const thunk = () => {
    evaluated += 1
    return { evaluated }
  }
  coat('step', () => tie.scope(thunk))()
  tie.scope(thunk)
  expect(evaluated).toBe(0)
  expect(recorder.only('end').payload).not.toHaveProperty('locals')

  const on = record()
  coat('step', { autoCapture: true }, () => tie.scope(thunk))()
  expect(evaluated).toBe(1)
  expect(on.only('end').payload['locals']).toEqual({ evaluated: 1 })
})

test('several scopes merge from left to right; without one there are no locals', () => {
  const recorder = record(ON)
  coat('step', () => {
    tie.scope(() => ({ a: 1, b: 1 }))
    tie.scope(() => Object.freeze({ b: 2 }))
    tie.scope(() => ({ b: 3, token: 'secret-value' }))
  })()
  coat('step', () => {})()
  const [one, other] = recorder.spans()
  expect(one?.end?.payload['locals']).toEqual({ a: 1, b: 3, token: '[redacted:key]' })
  expect(other?.end?.payload).not.toHaveProperty('locals')
})

test('a scope that throws or is asynchronous is counted and harms nothing', async () => {
  const recorder = record(ON)
  coat('step', () => {
    tie.scope(() => {
      throw new Error('boom')
    })
  })()
  coat('step', () => {
    tie.scope(async () => {
      throw new Error('boom')
    })
  })()
  const [one] = recorder.spans()
  expect(one?.end?.payload['locals']).toBe('[hook threw]')
  expect(stats().hookErrors).toBe(1)
  await new Promise(setImmediate)
})

test('a scope belongs to the span it is registered in', () => {
  const recorder = record(ON)
  coat('run', { name: 'outer' }, () => {
    tie.scope(() => ({ where: 'outer' }))
    coat('tool', { name: 'inner' }, () => tie.scope(() => ({ where: 'inner' })))()
  })()
  const locals = recorder.spans().map(({ end }) => [end?.payload['fn'], end?.payload['locals']])
  expect(locals).toEqual([
    ['outer', { where: 'outer' }],
    ['inner', { where: 'inner' }],
  ])
})
