import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { httpTool } from '../packages/server/src/gateway/tools/http-tool.ts'
import {
  actionOf,
  CONTEXT,
  problemsOf,
  reply,
} from '../packages/server/src/gateway/tools/test-context.ts'
import type { JsonObject, Tool } from '../packages/server/src/gateway/tools/tool.ts'
import {
  ActionInput,
  parseToolFile,
  ToolInput,
} from '../packages/server/src/gateway/tools/tool-file.ts'

const ROOT = resolve(import.meta.dirname, '..')
const DIRECTORY = join(ROOT, 'examples/tools')
const FILES = readdirSync(DIRECTORY).filter((name) => name.endsWith('.yaml'))

function load(name: string): Tool {
  return httpTool(parseToolFile(readFileSync(join(DIRECTORY, name), 'utf8'), name), 'operator')
}

function sent(tool: Tool, action: string, params: JsonObject) {
  const act = actionOf(tool, action)
  const context = { ...CONTEXT, idempotencyKey: 'idemp_1' }
  const { method, url, headers, body } = act.request(act.normalise(params), context)
  return { method, url, headers, body: body && JSON.parse(Buffer.from(body).toString('utf8')) }
}

test('every example of a tool is accepted and listed', () => {
  expect(FILES.length).toBeGreaterThanOrEqual(2)
  const readme = readFileSync(join(DIRECTORY, 'README.md'), 'utf8')
  for (const name of FILES) {
    expect(load(name).actions.size, name).toBeGreaterThan(0)
    expect(readme).toContain(`](${name})`)
  }
})

test('the CRM is asked as its file says, and its reply cut down to what matters', () => {
  const crm = load('crm.yaml')
  expect(crm.credential).toEqual({ path: 'tools/crm', inject: { headerType: 'api_key' } })
  expect(sent(crm, 'find_contact', { q: 'Ann & co' })).toMatchObject({
    method: 'GET',
    url: 'https://crm.example.com/api/v2/contacts?limit=10&q=Ann+%26+co',
  })
  const find = actionOf(crm, 'find_contact')
  const full = { data: [{ id: 'c_7' }], meta: { total: 1, took_ms: 3 }, debug: 'x' }
  expect(find.result(reply(200, full), { q: 'Ann', limit: 10 }, CONTEXT)).toEqual({
    contacts: [{ id: 'c_7' }],
    total: 1,
  })
  expect(find.mock({ q: 'Ann', limit: 10 }, CONTEXT)).toMatchObject({ total: 1 })
  expect([find.repeatable, find.permission, find.cacheMs]).toEqual([true, 'read', 60_000])
})

test('a note goes to the one contact, with the caller’s key for the CRM to see', () => {
  const crm = load('crm.yaml')
  const request = sent(crm, 'add_note', { contact_id: 'c_7', text: 'called' })
  expect(request).toMatchObject({
    method: 'POST',
    url: 'https://crm.example.com/api/v2/contacts/c_7/notes',
    body: { text: 'called' },
  })
  expect(request.headers).toContainEqual(['Idempotency-Key', 'idemp_1'])
  const note = actionOf(crm, 'add_note')
  expect([note.repeatable, note.permission, note.costMicros]).toEqual([false, 'write', 1_000])
  expect(problemsOf(note, { contact_id: '../admin', text: 'x' })).not.toEqual([])
})

test('the hook gets exactly its params', () => {
  const hook = load('webhook.yaml')
  expect(hook.credential).toBeUndefined()
  expect(sent(hook, 'start', { branch: 'main' })).toMatchObject({
    method: 'POST',
    url: 'https://ci.example.com/hooks/staging/deploy',
    body: { branch: 'main' },
  })
  expect(problemsOf(actionOf(hook, 'start'), { branch: 'main', force: true })).not.toEqual([])
})

test('the manual describes every member of a tool file', () => {
  const manual = readFileSync(join(ROOT, 'docs/gateway.md'), 'utf8')
  const members = [...Object.keys(ToolInput.shape), ...Object.keys(ActionInput.shape)]
  expect(members.filter((name) => !manual.includes(`\`${name}\``))).toEqual([])
})
