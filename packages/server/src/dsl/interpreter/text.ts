/** Values as text: for people, and as JSON with sorted keys. A secret is an error, wherever it stands. */
import { canonicalString } from '@vestry/contract/canonical'
import { Duration, Lambda, SecretRef, Size, Tagged, type Value, type ValueRecord } from '../host.ts'
import { exceeded, fault } from './fault.ts'
import { type Machine, textSize } from './machine.ts'
import { isList, isRecord, MAX_VALUE_DEPTH, sortedKeys, TEXT_STEP } from './values.ts'

/** A text stands for itself; all else is written as JSON. */
export function plainText(machine: Machine, value: Value, line: number): string {
  return typeof value === 'string' ? value : jsonText(machine, value, line)
}

/**
 * JSON with sorted keys. Durations are milliseconds, sizes bytes; `Ok(1)` is `{"Ok":[1]}`.
 *
 * @throws VestryError DSL_RUNTIME_ERROR for a secret, a function and deep nesting; DSL_LIMIT where it is too long.
 */
export function jsonText(machine: Machine, value: Value, line: number): string {
  const pieces: string[] = []
  let length = 0
  const put = (text: string): void => {
    length += text.length
    if (textSize(length) > machine.limits.memory) throw exceeded(line, 'the text is too long')
    machine.work(1 + text.length / TEXT_STEP, line)
    pieces.push(text)
  }
  const list = (values: readonly Value[], depth: number): void => {
    put('[')
    values.forEach((one, i) => {
      if (i > 0) put(',')
      write(one, depth + 1)
    })
    put(']')
  }
  const write = (one: Value, depth: number): void => {
    if (depth > MAX_VALUE_DEPTH) throw fault(line, 'the value is nested too deeply')
    if (one instanceof SecretRef) throw fault(line, 'a secret cannot be made into text')
    if (one instanceof Lambda) throw fault(line, 'a function cannot be made into text')
    if (isList(one)) list(one, depth)
    else if (one instanceof Tagged) {
      put(`{${canonicalString(one.tag)}:`)
      list(one.args, depth + 1)
      put('}')
    } else if (isRecord(one)) record(one, depth)
    else put(atomText(one))
  }
  const record = (one: ValueRecord, depth: number): void => {
    put('{')
    sortedKeys(one).forEach((key, i) => {
      put(`${i > 0 ? ',' : ''}${canonicalString(key.toWellFormed())}:`)
      write(one[key] ?? null, depth + 1)
    })
    put('}')
  }
  write(value, 0)
  return kept(machine, pieces.join(''), line)
}

function atomText(value: Value): string {
  if (typeof value === 'string') return canonicalString(value.toWellFormed())
  if (value instanceof Duration) return String(value.ms)
  return value instanceof Size ? String(value.bytes) : String(value)
}

/** A new text, counted. */
export function kept(machine: Machine, text: string, line: number): string {
  machine.reserve(textSize(text.length), line)
  return text
}
