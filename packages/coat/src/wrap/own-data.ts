/** Reads members without running code of the program's: no accessors, no proxies. */
import { types } from 'node:util'

/** How far up a chain of prototypes a member is looked for. */
const MAX_DEPTH = 16

/** @returns The value of a data member, own or inherited; `undefined` for an accessor. */
export function dataMember(value: unknown, name: PropertyKey): unknown {
  let at: unknown = value
  for (let depth = 0; depth < MAX_DEPTH && isObject(at) && !types.isProxy(at); depth += 1) {
    const descriptor = Object.getOwnPropertyDescriptor(at, name)
    if (descriptor !== undefined) return descriptor.value
    at = Object.getPrototypeOf(at)
  }
  return undefined
}

/** @returns The method of that name, if there is one that can be read without running code. */
export function methodOf(value: unknown, name: PropertyKey): Method | undefined {
  const member = dataMember(value, name)
  return typeof member === 'function' ? (member as Method) : undefined
}

export type Method = (this: unknown, ...args: unknown[]) => unknown

/** Own data fields: all, or those named. */
export function dataFields(value: unknown, names: readonly string[] | true): object | undefined {
  if (!isObject(value) || types.isProxy(value)) return undefined
  const fields: Record<string, unknown> = Object.create(null)
  for (const name of names === true ? Object.keys(value) : names) {
    const descriptor = Object.getOwnPropertyDescriptor(value, name)
    if (descriptor !== undefined && 'value' in descriptor) fields[name] = descriptor.value
  }
  return fields
}

/** Puts a method on this one object, in front of the inherited one. @returns Whether it could be. */
export function shadow(target: object, name: PropertyKey, method: Method): boolean {
  return Reflect.defineProperty(target, name, {
    value: method,
    writable: true,
    configurable: true,
    enumerable: false,
  })
}

export function isObject(value: unknown): value is object {
  return (typeof value === 'object' && value !== null) || typeof value === 'function'
}
