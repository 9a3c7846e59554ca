import { expect, test } from 'vitest'
import { Needles } from '../../egress/needles.ts'
import { Scrubber } from '../../egress/scrub.ts'
import { Gate } from './gate.ts'
import type { Outgoing, Wire } from './wire.ts'

function gateOver() {
  const sent: string[] = []
  const failures: string[] = []
  let nowMs = 0
  const wire: Wire = {
    pid: undefined,
    failure: undefined,
    onMessage: () => true,
    onEnd: () => undefined,
    open: async () => undefined,
    negotiated: () => undefined,
    answered: () => undefined,
    send: async ({ text }: Outgoing) => void sent.push(text),
    fail: ({ message }) => void failures.push(message),
    close: async () => undefined,
    hurry: () => undefined,
  }
  const gate = new Gate({ wire, scrubber: new Scrubber(Needles.none()), now: () => nowMs })
  return {
    gate,
    sent,
    failures,
    pass: (ms: number) => {
      nowMs += ms
    },
    say: (message: object) =>
      wire.onMessage(Buffer.from(JSON.stringify({ jsonrpc: '2.0', ...message }))),
  }
}

test('a few long messages that nobody asked for are borne; a server that goes on with them is ended', () => {
  const { pass, say, failures } = gateOver()
  const params = { data: 'x'.repeat(3_000_000) }
  for (let at = 0; at < 4; at += 1) {
    say({ method: 'notifications/message', params })
    pass(3_000)
  }
  expect(failures).toEqual([])
  for (let at = 0; at < 3; at += 1) {
    say({ method: 'notifications/message', params })
    pass(50)
  }
  expect(failures.length).toBeGreaterThan(0)
})

test('answers that are waited for are not counted, however long', async () => {
  const { gate, say, failures } = gateOver()
  const heard: unknown[] = []
  gate.onmessage = (message) => void heard.push(message)
  for (let id = 1; id <= 4; id += 1) {
    await gate.send({ jsonrpc: '2.0', id, method: 'tools/call' })
    say({ id, result: { text: 'x'.repeat(3_000_000) } })
  }
  expect(heard).toHaveLength(4)
  expect(failures).toEqual([])
})

test('a request that the server takes back makes room for another', () => {
  const { gate, say, sent } = gateOver()
  let asked = 0
  // As the library does: what is taken back gets no answer.
  gate.onmessage = () => {
    asked += 1
  }
  for (let id = 1; id <= 200; id += 1) {
    say({ id, method: 'ping' })
    say({ method: 'notifications/cancelled', params: { requestId: id } })
  }
  expect(asked).toBe(400)
  expect(sent).toEqual([])
})
