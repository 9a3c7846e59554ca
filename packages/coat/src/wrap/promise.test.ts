import { expect, test } from 'vitest'
import { coat, current } from '../index.ts'
import { record } from '../recorder.test-kit.ts'

test('telemetry §16.3: a promise ends its span when it settles, once', async () => {
  const recorder = record()
  const { promise, resolve } = Promise.withResolvers<string>()
  const pending = coat('tool', () => promise)()
  expect(recorder.kinds()).toEqual(['agent.tool.call'])
  resolve('done')
  expect(await pending).toBe('done')
  expect(recorder.kinds()).toEqual(['agent.tool.call', 'agent.tool.result'])
  expect(recorder.only('end').payload['status']).toBe('ok')

  const error = new Error('late')
  recorder.events.length = 0
  await expect(coat('tool', async () => Promise.reject(error))()).rejects.toBe(error)
  expect(recorder.kinds()).toEqual(['agent.tool.call', 'agent.tool.result'])
  expect(recorder.only('end').payload['status']).toBe('error')
})

test('telemetry §16.3: an aborted wait is cancelled', async () => {
  const recorder = record()
  const wait = coat(
    'tool',
    (signal: AbortSignal) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
  )
  const controller = new AbortController()
  const waiting = wait(controller.signal)
  controller.abort()
  await expect(waiting).rejects.toThrow()
  expect(recorder.only('end').payload['status']).toBe('cancelled')
})

test('what a promise carries beside its value stays on it', async () => {
  record()
  const child = { pid: 7 }
  const wrapped = coat('tool', () => Object.assign(Promise.resolve(1), { child }))
  const promise = wrapped()
  expect(promise.child).toBe(child)
  expect(promise).toBeInstanceOf(Promise)
  expect(await promise).toBe(1)
})

test('the span is active across awaits, and not after the call', async () => {
  const recorder = record()
  const seen: (string | undefined)[] = []
  const wrapped = coat('step', async () => {
    seen.push(current()?.span_id)
    await new Promise(setImmediate)
    seen.push(current()?.span_id)
  })
  const pending = wrapped()
  expect(current()).toBeUndefined()
  await pending
  expect(current()).toBeUndefined()
  const id = recorder.only('start').ids.span_id
  expect(seen).toEqual([id, id])
})

test('what the runtime keeps on a promise for itself stays where it is', async () => {
  record()
  const key = Symbol('id of one promise')
  const promise = coat('tool', () => Object.assign(Promise.resolve(1), { [key]: 5, child: 7 }))()
  expect(Reflect.get(promise, key)).toBeUndefined()
  expect(Reflect.get(promise, 'child')).toBe(7)
  expect(await promise).toBe(1)
})
