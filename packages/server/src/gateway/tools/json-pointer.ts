/** RFC 6901: picks one value out of a document. */
import type { Json } from './tool.ts'

export function isJsonPointer(text: string): boolean {
  return /^(?:\/(?:[^~/]|~0|~1)*)*$/.test(text)
}

/** @returns null where the document has nothing: a result always has a value. */
export function atPointer(document: Json, pointer: string): Json {
  let value: Json | undefined = document
  for (const step of pointer.split('/').slice(1)) {
    const name = step.replaceAll('~1', '/').replaceAll('~0', '~')
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return null
    value = Array.isArray(value) ? (/^\d+$/.test(name) ? value[Number(name)] : null) : value[name]
  }
  return value ?? null
}
