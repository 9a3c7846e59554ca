import fc from 'fast-check'
import { expect, test } from 'vitest'
import { permissionChanges } from './permission-changes.ts'
import { coversPermission } from './permission-cover.ts'
import type { Permission, Permissions } from './permissions.ts'

const NONE: Permissions = { allows: [], denies: [], budgets: {}, rules: {}, notes: [] }
const permission = (kind: Permission['kind'], name: string, more: Partial<Permission> = {}) => {
  return { kind, name, conditions: [], line: 1, ...more }
}
const read = (old: Permissions | undefined, next: Permissions) =>
  permissionChanges(old, next).map(({ direction, text }) => `${direction}: ${text}`)
const may = (...allows: Permission[]): Permissions => ({ ...NONE, allows })

test('a new program’s permissions are all news, in plain words', () => {
  const next: Permissions = {
    ...NONE,
    allows: [
      permission('tool', 'notes:append'),
      permission('mcp', 'mcp/files:*'),
      permission('host', '*'),
      permission('knowledge', 'confidential', { access: 'read' }),
      permission('agent', 'evil"\n\u202e name'),
      permission('tool', 'mail:send', { conditions: ['guard#1'] }),
    ],
    denies: [permission('credential', '*')],
    rules: { 'guard#1': 'input.n < 3' },
    budgets: { costMicros: 500_000, rate: '5/s' },
  }
  expect(read(undefined, next)).toEqual([
    'wider: may act up to 5/s by each permission',
    'wider: may now call every MCP tool of mcp/files',
    'wider: may now call tool mail:send if input.n < 3',
    'wider: may now call tool notes:append',
    'wider: may now reach any host',
    'wider: may now read knowledge labelled confidential',
    'wider: may now start agent "evil\\"\\u{a}\\u{202e} name"',
    'wider: may spend up to $0.5 a run',
    'narrower: is now kept from this: use any credential',
  ])
})

test('what is covered is no change; conditions, denials and budgets are', () => {
  const wide = may(permission('tool', 'notes:*'), permission('host', '*.example.com'))
  const narrow = may(permission('tool', 'notes:append'), permission('host', 'api.example.com'))
  expect(read(wide, { ...wide, allows: [...wide.allows, ...narrow.allows] })).toEqual([])
  expect(read(wide, narrow)).toEqual([
    'narrower: may no longer call every tool of notes',
    'narrower: may no longer reach host *.example.com',
  ])
  const one = (conditions: string[], rules: Record<string, string> = {}) => {
    return { ...may(permission('tool', 'a:b', { conditions })), rules }
  }
  expect(read(one(['g#1'], { 'g#1': 'x' }), one([]))).toEqual([
    'wider: may now call tool a:b without a condition',
  ])
  expect(read(one([]), one(['g#1'], { 'g#1': 'x' }))).toEqual([
    'narrower: may no longer call tool a:b without a condition',
  ])
  expect(read(one(['g#1'], { 'g#1': 'n < 3' }), one(['g#1'], { 'g#1': 'n < 9' }))).toEqual([
    'wider: may now call tool a:b if n < 9',
    'narrower: may no longer call tool a:b if n < 3',
  ])
  // The same condition under another number is the same.
  expect(read(one(['g#1'], { 'g#1': 'x' }), one(['g#2'], { 'g#2': 'x' }))).toEqual([])
  const denied = { ...NONE, denies: [permission('host', '*')] }
  expect(read(denied, NONE)).toEqual(['wider: is no longer kept from this: reach any host'])
  const rate = (text: string): Permissions => ({ ...NONE, budgets: { rate: text } })
  expect(read(rate('5/s burst 5'), rate('9/s burst 2'))).toEqual([
    'wider: may act up to 9/s burst 2 by each permission (before: 5/s burst 5)',
    'narrower: may act up to 9/s burst 2 by each permission (before: 5/s burst 5)',
  ])
  expect(read({ ...NONE, budgets: { timeoutSeconds: 5 } }, NONE)).toEqual([
    'wider: may run without a time limit of its own (before: may run for up to 5 s)',
  ])
})

const TOOLS = ['notes:append', 'notes:read', 'crm:read']
const HOSTS = ['api.example.com', 'example.com', 'a.b.example.com', '10.0.0.1', 'x.org']
const CONDITIONS = ['g#1', 'g#2']
const RULES = { 'g#1': 'x', 'g#2': 'y' }

const anyPermission = fc.oneof(
  fc.record({
    kind: fc.constant('tool' as const),
    name: fc.constantFrom('*', 'notes:*', 'crm:*', 'notes:a*', ...TOOLS),
    conditions: fc.subarray(CONDITIONS),
    line: fc.constant(1),
  }),
  fc.record({
    kind: fc.constant('host' as const),
    name: fc.constantFrom('*', '*.example.com', '.example.com', ...HOSTS),
    conditions: fc.subarray(CONDITIONS),
    line: fc.constant(1),
  }),
)
const anyPermissions: fc.Arbitrary<Permissions> = fc.record({
  allows: fc.array(anyPermission, { maxLength: 4 }),
  denies: fc.array(anyPermission, { maxLength: 2 }),
  budgets: fc.constant({}),
  rules: fc.constant(RULES),
  notes: fc.constant([]),
})

/** What a set says of every request, with every selection of conditions. */
function answers({ allows, denies }: Permissions): string {
  const requests = [
    ...TOOLS.map((name) => permission('tool', name)),
    ...HOSTS.map((name) => permission('host', name)),
  ]
  const held = [[], ['g#1'], ['g#2'], ['g#1', 'g#2']]
  return requests
    .flatMap((one) => held.map((conditions) => ({ ...one, conditions })))
    .map((one) => {
      const hits = (list: readonly Permission[]) =>
        list.some((known) => coversPermission(known, RULES, one, RULES))
      return hits(allows) && !hits(denies) ? 1 : 0
    })
    .join('')
}

test('nothing changes between a set and itself', () => {
  fc.assert(
    fc.property(anyPermissions, (a) => {
      expect(permissionChanges(a, a)).toEqual([])
    }),
  )
})

test('sets of which neither is wider decide the same', () => {
  const widerIn = (a: Permissions, b: Permissions) =>
    permissionChanges(a, b).some(({ direction }) => direction === 'wider')
  let same = 0
  fc.assert(
    fc.property(anyPermissions, anyPermissions, (a, b) => {
      const mixed = { ...a, allows: [...a.allows, ...a.allows.slice(0, 1)] }
      for (const [x, y] of [
        [a, b],
        [a, mixed],
      ] as const) {
        if (widerIn(x, y) || widerIn(y, x)) continue
        same += 1
        expect(answers(x)).toBe(answers(y))
      }
    }),
    { numRuns: 500 },
  )
  expect(same).toBeGreaterThan(400)
})

test('a set that is not wider allows nothing that the other does not', () => {
  fc.assert(
    fc.property(anyPermissions, anyPermissions, (a, b) => {
      if (permissionChanges(a, b).some(({ direction }) => direction === 'wider')) return
      const [before, after] = [answers(a), answers(b)]
      expect([...after].some((bit, i) => bit === '1' && before[i] === '0')).toBe(false)
    }),
    { numRuns: 1000 },
  )
})
