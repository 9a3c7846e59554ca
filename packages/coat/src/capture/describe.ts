/** What mode `none` tells of a value: its type and its size, never its content. */
import { bytesIn, isProxy, keysOf, kindOf, sizeOf } from './intrinsics.ts'

export function describe(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return `<string len=${value.length}>`
    case 'object':
      return value === null ? '<null>' : describeObject(value)
    case 'function':
      return isProxy(value) ? '<proxy>' : '<function>'
    default:
      return `<${typeof value}>`
  }
}

function describeObject(value: object): string {
  try {
    const kind = kindOf(value)
    switch (kind) {
      case 'array':
        return `<array len=${(value as unknown[]).length}>`
      case 'plain':
      case 'instance':
        return `<object keys=${keysOf(value)?.length ?? 'many'}>`
      case 'map':
      case 'set':
        return `<${kind} size=${sizeOf(value, kind)}>`
      case 'bytes':
        return `<bytes len=${bytesIn(value)}>`
      default:
        return `<${kind}>`
    }
  } catch {
    return '<object>'
  }
}
