/** The name of a class member's span: `Repo.save`, by the class of the object it is called on. */
import { types } from 'node:util'
import { dataMember, isObject } from './own-data.ts'
import type { NameAt } from './wrapper.ts'

export function memberName(context: { readonly name: string | symbol | undefined }): {
  readonly name: string
  readonly at: NameAt
} {
  const { name: key } = context
  const name = (typeof key === 'symbol' ? `[${key.description ?? ''}]` : (key ?? '')).slice(0, 128)
  /** Per class: the same few are called on again and again. */
  const names = new WeakMap<object, string>()
  const at: NameAt = (self) => {
    if (!isObject(self) || types.isProxy(self)) return name
    const home = typeof self === 'function' ? self : Object.getPrototypeOf(self)
    if (!isObject(home)) return name
    const known = names.get(home)
    if (known !== undefined) return known
    const owner = classNameOf(typeof self === 'function' ? self : dataMember(home, 'constructor'))
    const full = owner === '' ? name : `${owner}.${name}`
    names.set(home, full)
    return full
  }
  return { name, at }
}

/** What a class calls itself; an accessor or a method of that name is not asked. */
function classNameOf(home: unknown): string {
  const name = typeof home === 'function' ? dataMember(home, 'name') : undefined
  return typeof name === 'string' ? name.slice(0, 128) : ''
}
