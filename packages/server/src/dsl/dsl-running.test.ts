import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { agentOf, resultOf, TestHost } from './agent.test-kit.ts'
import { programPolicies } from './cedar.ts'
import { EFFECTS } from './host.ts'
import { BUILTINS } from './interpreter/builtins.ts'
import { DEFAULT_RUN_LIMITS, MAX_DEPTH } from './interpreter/machine.ts'
import { parse } from './parse.ts'
import { permissionsOf } from './permissions-of.ts'

const PAGE = readFileSync(join(import.meta.dirname, '../../../../docs/dsl-running.md'), 'utf8')

test('the page on running programs names every function, and no other', () => {
  const [, tables = ''] = PAGE.split('## Built-in functions')
  const [rows = ''] = tables.split('\n## ')
  const cells = [...rows.matchAll(/^\| ((?:`[^`]+` ?)+)\|/gm)].map(([, cell = '']) => cell)
  const named = cells.flatMap((cell) => [...cell.matchAll(/`(\w+)\(/g)].map(([, name]) => name))
  expect(named.sort()).toEqual([...BUILTINS.keys(), ...EFFECTS, 'map', 'filter', 'print'].sort())
})

test('its limits are the interpreter’s', () => {
  const spaced = (count: number) => String(count).replace(/\B(?=(\d{3})+$)/g, ' ')
  const { steps, callDepth, whileIterations, memory } = DEFAULT_RUN_LIMITS
  expect(PAGE).toContain(`| steps | ${spaced(steps)};`)
  expect(PAGE).toContain(`| calls within each other | ${callDepth} |`)
  expect(PAGE).toContain(`over all calls | ${MAX_DEPTH} |`)
  expect(PAGE).toContain(`| turns of one \`while\` | ${spaced(whileIterations)} |`)
  expect(PAGE).toContain(`${memory / 1024 / 1024} MiB`)
})

test('its programs are read without an error', () => {
  const programs = [...PAGE.matchAll(/^```dsl\n([\s\S]*?)^```$/gm)].map(([, text = '']) => text)
  expect(programs).not.toEqual([])
  for (const text of programs) {
    const { diagnostics } = parse(text)
    expect(diagnostics.filter(({ severity }) => severity === 'error')).toEqual([])
  }
})

test('its policy is what a program becomes', () => {
  const agent = agentOf({
    body: '\ncall_tool("notes:append")',
    policies: { guard: ['allow: "notes:append" if input.n < 3'] },
  })
  const [policy] = programPolicies({
    agentName: 'scout',
    deploymentId: 'd1',
    version: 3,
    permissions: permissionsOf(agent),
  })
  const plain = (text: string | undefined) =>
    text
      ?.replace(/@id\("[^"]*"\)/, '@id')
      .replace(/line \d+/, 'line')
      .trim()
  const [, shown] = /^```cedar\n([\s\S]*?)^```$/m.exec(PAGE) ?? []
  expect(plain(shown)).toBe(plain(policy?.text))
})

test('runtime §11.8: the own example of the page does what it says', async () => {
  const host = new TestHost()
  const body = `let label = if ticket.topic == "billing" { "money" } else { "general" }
    publish("labels", { id: ticket.id, label: label })
    return Ok(label)`
  const params = { ticket: { topic: 'billing', id: 7 } }
  const value = await resultOf(body, { host, parameters: ['ticket'], given: params })
  expect(value).toMatchObject({ tag: 'Ok', args: ['money'] })
  expect(host.calls[0]).toMatchObject({ name: 'publish', index: 0, args: ['labels', { id: 7 }] })
})
