/** Arguments of effects, read as what they must be. Errors name the call and its line, never a value. */
import { VestryError } from '@vestry/contract/errors'
import type { Json } from '../../dsl/definition.ts'
import { Duration, type EffectCall, SecretRef, Size, Tagged, type Value } from '../../dsl/host.ts'
import { isList, isRecord, kindOf } from '../../dsl/interpreter/values.ts'

/** By name, else by place. */
export function argument(call: EffectCall, name: string, at: number): Value | undefined {
  const named = Object.hasOwn(call.named, name) ? call.named[name] : undefined
  return named ?? call.args[at]
}

/** @throws VestryError DSL_RUNTIME_ERROR */
export function textArgument(call: EffectCall, name: string, at: number): string {
  const value = argument(call, name, at)
  if (typeof value === 'string') return value
  throw wrong(call, `${name} must be text, not ${kindOf(value ?? null)}`)
}

/** @throws VestryError DSL_RUNTIME_ERROR */
export function recordArgument(
  call: EffectCall,
  name: string,
  at: number,
): Readonly<Record<string, Json>> {
  const value = argument(call, name, at) ?? null
  if (value === null) return {}
  if (!isRecord(value)) throw wrong(call, `${name} must be a record, not ${kindOf(value)}`)
  return plain(call, value) as Readonly<Record<string, Json>> // of a record
}

/** @throws VestryError DSL_RUNTIME_ERROR for a secret, which goes nowhere but where it is opened. */
export function plainArgument(call: EffectCall, name: string, at: number): Json {
  return plain(call, argument(call, name, at) ?? null)
}

/** As `json_stringify` has it: durations are milliseconds, sizes bytes, `Ok(1)` is `{"Ok":[1]}`. */
export function plain(call: EffectCall, value: Value): Json {
  if (value instanceof SecretRef)
    throw wrong(call, 'a secret can only be a header of http_request or the key of a check')
  if (value instanceof Duration) return value.ms
  if (value instanceof Size) return value.bytes
  if (value instanceof Tagged) return { [value.tag]: value.args.map((one) => plain(call, one)) }
  if (isList(value)) return value.map((one) => plain(call, one))
  if (isRecord(value))
    return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, plain(call, one)]))
  if (value === null || typeof value !== 'object') return value
  throw wrong(call, 'a function cannot leave the program')
}

/** What a run came to. @throws VestryError DSL_RUNTIME_ERROR */
export function plainResult(value: Value): Json {
  return plain({ name: 'log', args: [], named: {}, index: 0, line: 0 }, value)
}

export function wrong({ name, line }: EffectCall, what: string): VestryError {
  return new VestryError('DSL_RUNTIME_ERROR', `Line ${line}: ${name}: ${what}`, {
    context: { line },
  })
}
