/** Reads values whose type another package owns: each function answers `undefined` for what is not there. */
import { types } from 'node:util'

export type Fields = { readonly [name: string]: unknown }

/** A proxy is left alone: looking into it would run its owner's code. */
export function fields(value: unknown): Fields | undefined {
  if (typeof value !== 'object' || value === null || types.isProxy(value)) return undefined
  return value as Fields
}

/** A copy of an object's own data; its accessors are not asked. */
export function ownData(value: object): Record<string, unknown> {
  const data: Record<string, unknown> = {}
  for (const name of Object.keys(value)) {
    const property = Object.getOwnPropertyDescriptor(value, name)
    if (property !== undefined && 'value' in property) data[name] = property.value
  }
  return data
}

/** A text that says something. */
export function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

export function firstText(...values: readonly unknown[]): string | undefined {
  for (const value of values) {
    const found = text(value)
    if (found !== undefined) return found
  }
  return undefined
}

/** A count or a measure: finite. */
export function figure(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined
}

export function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

/** Drops the members that are `undefined`, which JSON would not carry anyway. */
export function present(values: Record<string, unknown>): Record<string, unknown> {
  const kept: Record<string, unknown> = {}
  for (const name in values) if (values[name] !== undefined) kept[name] = values[name]
  return kept
}

/** The same, or nothing at all where no member is left. */
export function presentOrNone(
  values: Record<string, unknown>,
): Record<string, unknown> | undefined {
  const kept = present(values)
  return Object.keys(kept).length > 0 ? kept : undefined
}

/** Epoch milliseconds of an ISO time. */
export function epochMs(iso: unknown): number | undefined {
  if (typeof iso !== 'string') return undefined
  const ms = Date.parse(iso)
  return Number.isNaN(ms) ? undefined : ms
}

/** What a JSON text says; other text stays as it is. */
export function parsed(value: unknown): unknown {
  if (typeof value !== 'string' || value.length > 65_536) return value
  try {
    return JSON.parse(value)
  } catch {
    return value
  }
}
