import { expect, test } from 'vitest'
import { readPages, resourcesOf, toolsOf } from './listing.ts'

const failing = (message: string) =>
  expect.objectContaining({ code: 'MCP_PROTOCOL_ERROR', message: expect.stringContaining(message) })
const schema = { type: 'object' }

/** Pages of `size`, `pages` of them; the cursor is the number of the next one. */
const pagesOf =
  (pages: number, size: number, item: unknown = {}) =>
  async (cursor: string | undefined) => {
    const at = Number(cursor ?? 0)
    const next = at + 1 < pages ? { nextCursor: String(at + 1) } : {}
    return { tools: Array.from({ length: size }, () => item), ...next }
  }

test('runtime §20.17: pages are read to the last one, and no further than fifty, or five thousand items', async () => {
  expect(await readPages(pagesOf(50, 100), 'tools')).toHaveLength(5_000)
  await expect(readPages(pagesOf(51, 1), 'tools')).rejects.toEqual(failing('more than 50 pages'))
  for (const size of [5_001, 1_000_000])
    await expect(readPages(pagesOf(1, size), 'tools')).rejects.toEqual(failing('more than 5000'))
  await expect(readPages(pagesOf(9, 1, 'x'.repeat(2_000_000)), 'tools')).rejects.toEqual(
    failing('characters'),
  )
  const same = async () => ({ tools: [], nextCursor: 'x' })
  await expect(readPages(same, 'tools')).rejects.toEqual(failing('again and again'))
  await expect(readPages(async () => ({ tools: {} }), 'tools')).rejects.toEqual(failing('"tools"'))
})

test('tools are sorted, described, and left out with a reason where they cannot be shown', () => {
  const { items, refused } = toolsOf(
    'notes',
    [
      { name: 'b', inputSchema: schema, description: 5 },
      { name: 'a', inputSchema: schema, description: 'First' },
      { name: 'a', inputSchema: schema, description: 'Second' },
      { name: '', inputSchema: schema },
      { name: 'line\nbreak', inputSchema: schema },
      { name: 'x'.repeat(257), inputSchema: schema },
      { name: 'no-schema' },
      { name: 'list', inputSchema: [] },
      { name: 'huge', inputSchema: { description: 'x'.repeat(262_144) } },
      'text',
      null,
    ],
    [],
  )
  expect(items.map(({ name, description }) => [name, description])).toEqual([
    ['a', 'First'],
    ['b', ''],
  ])
  expect(refused).toEqual([
    'tool 3: the name comes twice',
    ...[4, 5, 6].map((at) => `tool ${at}: has no name that can be shown`),
    'tool 7: has no inputSchema',
    'tool 8: has no inputSchema',
    'tool 9: is longer than 262144 characters',
    'tool 10: is no object',
    'tool 11: is no object',
  ])
})

test('a tool that stayed the same stays the same object, and one that changed at all does not', () => {
  const before = toolsOf(
    'notes',
    [
      { name: 'a', inputSchema: schema },
      { name: 'b', inputSchema: schema },
    ],
    [],
  )
  const after = toolsOf(
    'notes',
    [
      { name: 'a', inputSchema: { type: 'object' } },
      { name: 'b', inputSchema: schema, annotations: { readOnlyHint: true } },
    ],
    before.items,
  )
  expect(after.items[0]).toBe(before.items[0])
  expect(after.items[1]).not.toBe(before.items[1])
})

test('resources without an address are left out, and templates are told apart', () => {
  expect(
    resourcesOf(
      'notes',
      [{ uri: 'note://2', name: 'Two', mimeType: 5 }, { name: 'none' }, { uri: 'note://1' }],
      false,
    ).items,
  ).toEqual([
    {
      server: 'notes',
      uri: 'note://1',
      name: undefined,
      description: undefined,
      mimeType: undefined,
      isTemplate: false,
    },
    {
      server: 'notes',
      uri: 'note://2',
      name: 'Two',
      description: undefined,
      mimeType: undefined,
      isTemplate: false,
    },
  ])
  expect(resourcesOf('notes', [{ uriTemplate: 'note://{id}' }], true).items).toMatchObject([
    { uri: 'note://{id}', isTemplate: true },
  ])
})
