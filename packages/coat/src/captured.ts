/** Puts captured values into a payload, each member in the way that readers of envelopes expect. */
import { types } from 'node:util'
import { CAPTURED_MEMBERS, type CaptureMode } from './aot.ts'
import type { EventCapture, Json } from './capture/capturer.ts'

/** More arguments than this are counted only. */
const MAX_ITEMS = 32

/** Stands for the value of a callback that threw; told in every mode, since it is no value of the program's. */
export const HOOK_THREW = Symbol('hook threw')
export const HOOK_THREW_TEXT = '[hook threw]'

export function captureValue(capture: EventCapture, value: unknown): Json {
  return value === HOOK_THREW ? HOOK_THREW_TEXT : capture.value(value)
}

/** @param keysAreTold Whether the mode tells the names of an object's keys, which are content as well. */
export function capturePreviewOfArguments(
  capture: EventCapture,
  args: readonly unknown[],
  named: object | undefined,
  keysAreTold: boolean,
): { args: Json[]; kwargs: Json } {
  const only = args.length === 1 ? args[0] : undefined
  if (named === undefined && keysAreTold && isPlainObject(only))
    return { args: [], kwargs: captureValue(capture, only) }
  const preview = captureItems(capture, args)
  if (named === undefined) return { args: preview, kwargs: {} }
  if (keysAreTold) return { args: preview, kwargs: captureValue(capture, named) }
  return { args: [...preview, captureValue(capture, named)], kwargs: {} }
}

export function captureItems(capture: EventCapture, items: readonly unknown[]): Json[] {
  const { length } = items
  const preview: Json[] = []
  for (let at = 0; at < length && at < MAX_ITEMS; at += 1)
    preview.push(captureValue(capture, items[at]))
  if (length > MAX_ITEMS) preview.push(`…+${length - MAX_ITEMS} items`)
  return preview
}

/** Adds the members of `captured` to the payload; `preview` joins what is there. */
export function addCaptured(
  payload: Record<string, unknown>,
  captured: Readonly<Record<string, unknown>>,
  capture: EventCapture,
  keysAreTold: boolean,
): void {
  for (const name of Object.keys(captured)) {
    const value = captured[name]
    if (value === undefined && name !== 'data') continue
    if (name !== 'preview') payload[name] = captureValue(capture, value)
    else if (typeof value === 'object' && value !== null)
      payload[name] = capturePreview(capture, value, keysAreTold)
  }
}

function capturePreview(
  capture: EventCapture,
  preview: object,
  keysAreTold: boolean,
): Record<string, Json> {
  const { args, kwargs, ...rest } = preview as { args?: unknown; kwargs?: unknown }
  const told: Record<string, Json> = {}
  if (args !== undefined || kwargs !== undefined) {
    const items = Array.isArray(args) ? args : args === undefined ? [] : [args]
    const named = isPlainObject(kwargs) && Object.keys(kwargs).length > 0 ? kwargs : undefined
    // An adapter says itself what has names.
    if (items.length === 1 && named === undefined) {
      told['args'] = captureItems(capture, items)
      told['kwargs'] = {}
    } else Object.assign(told, capturePreviewOfArguments(capture, items, named, keysAreTold))
  }
  for (const [name, value] of Object.entries(rest)) {
    if (value !== undefined)
      told[name] =
        name === 'yields' && Array.isArray(value)
          ? captureItems(capture, value)
          : captureValue(capture, value)
  }
  return told
}

/** Modes below `summary` tell no names, and neither does a preview of no length. */
export function tellsKeys(mode: CaptureMode, previewLen: number): boolean {
  return mode !== 'none' && mode !== 'hash' && previewLen > 0
}

export function isCapturedMember(name: string): boolean {
  return (CAPTURED_MEMBERS as readonly string[]).includes(name)
}

/** Asks without running anything of the value's: a proxy is not plain. */
export function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null || types.isProxy(value)) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}
