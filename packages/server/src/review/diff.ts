/** What changed between two definitions of a tool, place by place. */
import { isRawNumber, isTokenObject, type TokenJson, type TokenObject } from '../json/raw-number.ts'
import type { ToolDocument } from './tool-document.ts'

export type ToolChange =
  | { readonly pointer: string; readonly kind: 'added'; readonly after: TokenJson }
  | { readonly pointer: string; readonly kind: 'removed'; readonly before: TokenJson }
  | {
      readonly pointer: string
      readonly kind: 'changed'
      readonly before: TokenJson
      readonly after: TokenJson
    }

/**
 * @returns The smallest parts that differ, in the order of their JSON pointers; nothing for equal documents. The order
 *   of members does not count, that of lists does, and `1.0` is not `1`.
 */
export function toolChanges(before: ToolDocument, after: ToolDocument): ToolChange[] {
  const changes: ToolChange[] = []
  collect(plain(before), plain(after), '', changes)
  return changes.sort((one, other) => (one.pointer < other.pointer ? -1 : 1))
}

/** Only what is signed; a document may come with more members than its type says. */
function plain({ name, description, provider, schema }: ToolDocument): TokenObject {
  return { name, description, provider: { ...provider }, schema }
}

function collect(
  before: TokenJson,
  after: TokenJson,
  pointer: string,
  changes: ToolChange[],
): void {
  if (isTokenObject(before) && isTokenObject(after)) {
    members(before, after, pointer, changes)
  } else if (Array.isArray(before) && Array.isArray(after)) {
    members(numbered(before), numbered(after), pointer, changes)
  } else if (!isSame(before, after)) changes.push({ pointer, kind: 'changed', before, after })
}

function members(
  before: TokenObject,
  after: TokenObject,
  pointer: string,
  changes: ToolChange[],
): void {
  for (const name of new Set([...Object.keys(before), ...Object.keys(after)])) {
    const at = `${pointer}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`
    const old = Object.hasOwn(before, name) ? before[name] : undefined
    const young = Object.hasOwn(after, name) ? after[name] : undefined
    if (old === undefined && young !== undefined) {
      changes.push({ pointer: at, kind: 'added', after: young })
    } else if (old !== undefined && young === undefined) {
      changes.push({ pointer: at, kind: 'removed', before: old })
    } else if (old !== undefined && young !== undefined) collect(old, young, at, changes)
  }
}

function numbered(list: readonly TokenJson[]): TokenObject {
  return Object.fromEntries(list.map((item, index) => [String(index), item]))
}

function isSame(one: TokenJson, other: TokenJson): boolean {
  if (isRawNumber(one) || isRawNumber(other)) {
    return isRawNumber(one) && isRawNumber(other) && one.rawJSON === other.rawJSON
  }
  return one === other
}
