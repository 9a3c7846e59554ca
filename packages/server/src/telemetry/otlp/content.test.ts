import { describe, expect, test } from 'vitest'
import { MAX_ATTRIBUTE_BYTES } from './attributes.ts'
import { hiddenBy } from './content.ts'
import { CANARY, type Made, NOTHING_HIDDEN, rules, SAMPLES, stored } from './envelopes.test-kit.ts'
import type { ExportRules } from './log-record.ts'
import { SpanAssembler } from './span-assembler.ts'

function sent(made: readonly Made[], given: ExportRules) {
  const assembler = new SpanAssembler({
    rules: given,
    attributor: { observe: () => {}, attribute: () => ({ method: 'none' }) },
    now: Date.now,
    isAlive: () => true,
    onBroken: (_seq, error) => {
      throw error
    },
  })
  const logs = made.flatMap((one, at) => assembler.take(stored(at + 1, one)) ?? [])
  const records = [...logs, ...assembler.ripe(true)].map(({ message }) => message)
  return {
    text: JSON.stringify(records, (_key, value) =>
      typeof value === 'bigint' ? String(value) : value,
    ),
    dropped: records.map(({ droppedAttributesCount }) => droppedAttributesCount),
    sizes: records.map(({ attributes }) => JSON.stringify(attributes).length),
  }
}

const hiding = (variable: string): ExportRules =>
  rules({ content: 'redacted', hidden: hiddenBy({ [variable]: 'true' }) })
const call = SAMPLES['agent.llm']!

describe('telemetry §16.42: the host hides', () => {
  test.each([
    [
      'OPENINFERENCE_HIDE_INPUTS',
      ['check ledger 7', 'llm.input_messages', 'gen_ai.input', 'llm.tools'],
    ],
    ['OPENINFERENCE_HIDE_OUTPUTS', ['I read it', 'llm.output_messages', 'gen_ai.output.messages']],
    ['OPENINFERENCE_HIDE_INPUT_MESSAGES', ['llm.input_messages', 'gen_ai.input.messages']],
    ['OPENINFERENCE_HIDE_OUTPUT_MESSAGES', ['llm.output_messages', 'gen_ai.output.messages']],
    ['OPENINFERENCE_HIDE_INPUT_TEXT', ['gen_ai.input.messages']],
    ['OPENINFERENCE_HIDE_LLM_INVOCATION_PARAMETERS', ['llm.invocation', 'gen_ai.request.temp']],
    ['OPENINFERENCE_HIDE_LLM_TOOLS', ['llm.tools']],
  ])('%s', (variable, gone) => {
    const open = sent(call, rules({ content: 'redacted' })).text
    const hidden = sent(call, hiding(variable)).text
    for (const name of gone) {
      expect(open).toContain(name)
      expect(hidden).not.toContain(name)
    }
  })

  test('what tools were given and gave', () => {
    const tool = SAMPLES['agent.tool']!
    expect(sent(tool, rules({ content: 'redacted' })).text).toContain('tool.parameters')
    const inputs = sent(tool, hiding('OPENINFERENCE_HIDE_INPUTS')).text
    expect(inputs).not.toContain('tool.parameters')
    expect(inputs).not.toContain('gen_ai.tool.call.arguments')
    const outputs = sent(tool, hiding('OPENINFERENCE_HIDE_OUTPUTS')).text
    expect(outputs).not.toContain('gen_ai.tool.call.result')
    expect(outputs).not.toContain('no such ledger')
  })

  test('what was found, which is told where content is', () => {
    const [begin, end] = SAMPLES['agent.memory.read']!
    const result = [{ pageContent: 'of the handbook', metadata: { page: 7 } }, 'of the appendix']
    const found = [begin!, { ...end!, payload: { ...end!.payload, preview: { result } } }]
    const { text } = sent(found, rules({ content: 'redacted' }))
    for (const told of [
      '"retrieval.documents.0.document.content","value":{"stringValue":"of the handbook"}',
      '"retrieval.documents.0.document.metadata","value":{"stringValue":"{\\"page\\":7}"}',
      '"retrieval.documents.1.document.content","value":{"stringValue":"of the appendix"}',
    ])
      expect(text).toContain(told)
    for (const given of [rules(), hiding('OPENINFERENCE_HIDE_OUTPUTS')])
      expect(sent(found, given).text).not.toMatch(/of the|document\.(?:content|metadata)/)
  })

  test('only when a variable says so', () => {
    expect(hiddenBy({})).toEqual(NOTHING_HIDDEN)
    expect(hiddenBy({ OPENINFERENCE_HIDE_INPUTS: 'false' })).toEqual(NOTHING_HIDDEN)
    expect(hiddenBy({ OPENINFERENCE_HIDE_INPUTS: ' TRUE ' }).inputs).toBe(true)
  })
})

describe('bounds', () => {
  const asking = (messages: object[]): Made[] => [
    {
      kind: 'agent.llm.request',
      payload: { fn: 'ask', op: 'llm', preview: { args: [messages], kwargs: {} } },
    },
  ]

  test('128 messages of one call are told, and how many were not', () => {
    const messages = Array.from({ length: 200 }, (_, at) => ({ role: 'user', content: `m${at}` }))
    const { text, dropped } = sent(asking(messages), rules({ content: 'redacted' }))
    expect(text).toContain('llm.input_messages.127.message.content')
    expect(text).not.toContain('llm.input_messages.128.')
    expect(dropped[0]).toBeGreaterThanOrEqual(72)
  })

  test('64 KiB of attributes are told, whole names only, and how many were not', () => {
    const messages = Array.from({ length: 60 }, () => ({
      role: 'user',
      content: 'é'.repeat(4_000),
    }))
    const { dropped, sizes } = sent(asking(messages), rules({ content: 'redacted' }))
    expect(sizes[0]).toBeLessThan(2 * MAX_ATTRIBUTE_BYTES)
    expect(dropped[0]).toBeGreaterThan(50)
  })

  test('settings of a call that are no settings stay on the host', () => {
    const made: Made = {
      kind: 'agent.llm.request',
      mode: 'none',
      payload: {
        fn: 'ask',
        op: 'llm',
        params: { temperature: 0.5, messages: [{ content: CANARY }], note: CANARY.repeat(10) },
      },
    }
    const { text } = sent([made], rules())
    expect(text).toContain('0.5')
    expect(text).not.toContain(CANARY)
  })
})

test('events whose members have the wrong types are exported as far as they make sense', () => {
  const strange: Made[] = Object.values(SAMPLES)
    .flat()
    .map((one) => ({
      ...one,
      payload: Object.fromEntries(Object.keys(one.payload).map((key) => [key, [null, {}, 7]])),
    }))
  expect(() => sent(strange, rules({ content: 'raw' }))).not.toThrow()
  expect(() =>
    sent(
      strange.map((one) => ({ ...one, payload: {} })),
      rules(),
    ),
  ).not.toThrow()
})
