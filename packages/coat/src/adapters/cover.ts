/** Puts a function in the place of a method of one object. Its class, and other objects of it, stay as they are. */

export type Method = (this: unknown, ...args: unknown[]) => unknown

const covered = new WeakMap<object, Set<PropertyKey>>()

/**
 * @param cover Gets the original and makes what stands in its place.
 * @returns Whether there is such a method and it could be covered; a second time it is left alone.
 */
export function cover(
  target: object,
  name: PropertyKey,
  cover: (original: Method) => Method,
): boolean {
  const original: unknown = Reflect.get(target, name)
  if (typeof original !== 'function') return false
  const names = covered.get(target) ?? new Set()
  if (names.has(name)) return true
  const made = cover(original as Method)
  Object.defineProperty(made, 'name', { value: original.name, configurable: true })
  const own = Object.getOwnPropertyDescriptor(target, name)
  const isCovered = Reflect.defineProperty(target, name, {
    value: made,
    writable: true,
    configurable: true,
    enumerable: own?.enumerable ?? false,
  })
  if (!isCovered) return false
  names.add(name)
  covered.set(target, names)
  return true
}
