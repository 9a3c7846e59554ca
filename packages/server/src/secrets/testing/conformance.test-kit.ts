/** What every back end does alike; each of them runs all of it. */
import { VestryError } from '@vestry/contract/errors'
import { describe, expect, test } from 'vitest'
import { Secret } from '../../seal/secret.ts'
import type { PutOptions, SecretBackend } from '../backend.ts'
import type { SecretPlace } from '../place.ts'

export interface OpenedBackend {
  readonly backend: SecretBackend
  /** The same secrets, from a new start. */
  readonly again: () => SecretBackend
  /** Facts of another back end are kept with a secret that is copied. */
  readonly keepsOrigin: boolean
  readonly keepsOldVersions: boolean
  readonly end: () => Promise<void>
}

export const signal = new AbortController().signal
const LONGEST = Array.from({ length: 16 }, () => 'x'.repeat(128)).join('/')

export async function putText(
  backend: SecretBackend,
  place: SecretPlace,
  text: string,
  more: Partial<PutOptions> = {},
) {
  using value = Secret.copy(Buffer.from(text))
  return await backend.put(place, value, {
    description: undefined,
    createdBy: 'operator:ada',
    signal,
    ...more,
  })
}

export async function textOf(
  backend: SecretBackend,
  place: SecretPlace,
  version?: number,
): Promise<string | undefined> {
  const found = await backend.get(place, signal, version)
  using value = found?.value
  return value === undefined ? undefined : Buffer.from(value.bytes).toString('utf8')
}

export async function codeOf(work: Promise<unknown>): Promise<string> {
  const error: unknown = await work.then(
    () => 'done',
    (thrown: unknown) => thrown,
  )
  return error instanceof VestryError ? error.code : String(error)
}

export function conformance(name: string, open: () => Promise<OpenedBackend>): void {
  describe(`runtime §20.14: ${name}`, () => {
    const PLACE = { agent: 'ticket_sorter', name: 'db/password' }
    const using_ = async (work: (at: OpenedBackend) => Promise<void>): Promise<void> => {
      const at = await open()
      try {
        await at.backend.probe(signal, { create: true })
        await work(at)
      } finally {
        await at.backend.close()
        await at.end()
      }
    }

    test('round trip, overwrite, list and delete, and all of it is there after a new start', () =>
      using_(async ({ backend, again }) => {
        const before = Date.now()
        const first = await putText(backend, PLACE, 'correct horse', { description: 'of the db' })
        expect(first).toMatchObject({ version: 1, created: true, updatedAtMs: undefined })
        expect(first.createdAtMs).toBeGreaterThanOrEqual(before - 1)
        expect(await textOf(backend, PLACE)).toBe('correct horse')
        const read = await backend.get(PLACE, signal)
        expect(read).toMatchObject({ version: 1, description: 'of the db', updatedAtMs: undefined })
        const second = await putText(backend, PLACE, 'battery staple')
        expect(second).toMatchObject({
          version: 2,
          created: false,
          createdAtMs: first.createdAtMs,
          updatedAtMs: expect.any(Number),
        })
        await putText(backend, { ...PLACE, name: 'smtp' }, 'x')
        expect(await backend.list(PLACE.agent, signal)).toEqual(['db/password', 'smtp'])
        const other = again()
        expect(await textOf(other, PLACE)).toBe('battery staple')
        expect(await other.get(PLACE, signal)).toMatchObject({
          version: 2,
          createdAtMs: first.createdAtMs,
          updatedAtMs: second.updatedAtMs,
        })
        await other.close()
        expect(await backend.delete(PLACE, signal)).toBe(true)
        expect(await backend.delete(PLACE, signal)).toBe(false)
        expect(await textOf(backend, PLACE)).toBeUndefined()
        expect(await backend.list(PLACE.agent, signal)).toEqual(['smtp'])
        expect(await putText(backend, PLACE, 'anew')).toMatchObject({ created: true, version: 1 })
      }))

    test('texts come back as they were, whatever is in them', () =>
      using_(async ({ backend }) => {
        const texts = [
          '',
          ' ',
          '\u0000',
          'käse 🧀\r\n',
          '"\\',
          '-----BEGIN KEY-----\nAA==\n',
          'é'.repeat(32_768),
        ]
        for (const text of texts) {
          await putText(backend, PLACE, text)
          expect(await textOf(backend, PLACE)).toBe(text)
        }
      }))

    test('agents and names of every shape are told apart', () =>
      using_(async ({ backend }) => {
        const places = [
          ['a', 'b'],
          ['a', 'b/c'],
          ['a', 'b/c/d'],
          ['a.b', 'c'],
          ['a', '.b'],
          ['a', '-b'],
          ['a', '_b'],
          ['a', '__proto__'],
          ['a', 'constructor'],
          ['a', '...'],
          ['a', 'secrets/b'],
          ['a-b', 'b'],
          ['a0', 'b'],
          ['A', 'B'],
          ['mcp:notes', 'b'],
          ['ada@example', 'b'],
          ['secrets', 'a/b'],
          ['a', LONGEST],
          ['a', LONGEST.replace(/x$/, 'y')],
        ].map(([agent = '', name = '']) => ({ agent, name }))
        for (const place of places) await putText(backend, place, `${place.agent} ${place.name}`)
        for (const place of places)
          expect(await textOf(backend, place)).toBe(`${place.agent} ${place.name}`)
        const owners = [...new Set(places.map(({ agent }) => agent))].sort()
        expect(await backend.owners(signal)).toEqual(owners)
        for (const owner of owners) {
          const names = places.filter(({ agent }) => agent === owner).map(({ name }) => name)
          expect(await backend.list(owner, signal)).toEqual(names.sort())
        }
        const counted = await backend.count?.(signal)
        if (counted !== undefined) expect(counted).toBe(places.length)
        for (const place of places.slice(0, 3)) await backend.delete(place, signal)
        for (const place of places.slice(3, 6)) expect(await textOf(backend, place)).toBeDefined()
      }))

    test('somebody who has nothing has an empty list', () =>
      using_(async ({ backend }) => {
        expect(await backend.list('nobody', signal)).toEqual([])
        expect(await backend.owners(signal)).toEqual([])
        expect(await textOf(backend, PLACE)).toBeUndefined()
      }))

    test('a write that names the version it saw is refused when there is another', () =>
      using_(async ({ backend }) => {
        await putText(backend, PLACE, 'one', { expectedVersion: 0 })
        expect(await codeOf(putText(backend, PLACE, 'x', { expectedVersion: 0 }))).toBe('CONFLICT')
        expect(await codeOf(putText(backend, PLACE, 'x', { expectedVersion: 2 }))).toBe('CONFLICT')
        await putText(backend, PLACE, 'two', { expectedVersion: 1 })
        expect(await textOf(backend, PLACE)).toBe('two')
      }))

    test('many writes at once are all counted, and one of them is what is read', () =>
      using_(async ({ backend }) => {
        const written = await Promise.all(
          Array.from({ length: 8 }, (_, at) =>
            putText(backend, { agent: 'scout', name: `n${at % 2}` }, `v${at}`),
          ),
        )
        const versions = written.map(({ version }) => version).sort((one, other) => one - other)
        expect(versions).toEqual([1, 1, 2, 2, 3, 3, 4, 4])
        expect(written.filter(({ created }) => created)).toHaveLength(2)
        expect(await textOf(backend, { agent: 'scout', name: 'n1' })).toMatch(/^v[1357]$/)
      }))

    test('facts that a copied secret brings along, and older versions, are kept where they can be', () =>
      using_(async ({ backend, keepsOrigin, keepsOldVersions }) => {
        const origin = {
          version: 7,
          createdAtMs: 1_000,
          updatedAtMs: 2_000,
          description: undefined,
        }
        await putText(backend, PLACE, 'moved', { origin })
        const moved = await backend.get(PLACE, signal)
        if (keepsOrigin) expect(moved).toMatchObject(origin)
        else expect(moved).toMatchObject({ version: 1 })
        const next = await putText(backend, PLACE, 'newer')
        expect(next.version).toBe((moved?.version ?? 0) + 1)
        if (keepsOrigin) expect(next.createdAtMs).toBe(1_000)
        const older = await textOf(backend, PLACE, moved?.version)
        expect(older).toBe(keepsOldVersions ? 'moved' : undefined)
        expect(await textOf(backend, PLACE, next.version)).toBe('newer')
        expect(await textOf(backend, PLACE, next.version + 1)).toBeUndefined()
      }))
  })
}
