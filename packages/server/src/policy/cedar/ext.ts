/** The functions and methods of Cedar's extension types, by their name in the JSON form. */
import { Datetime, parseDatetime } from './datetime.ts'
import { Decimal, parseDecimal } from './decimal.ts'
import { Duration, parseDuration } from './duration.ts'
import { IpAddr, parseIp } from './ip.ts'
import { divideLong } from './long.ts'
import { type CedarError, mistyped, type Value } from './value.ts'

export type ExtArg = Value | CedarError

export type ExtFunction =
  | { arity: 1; call(arg: ExtArg): Value | CedarError }
  | { arity: 2; call(left: ExtArg, right: ExtArg): Value | CedarError }

/** A `Map`, because a policy may name any function, `constructor` too. */
export const EXT_FUNCTIONS: ReadonlyMap<string, ExtFunction> = new Map<string, ExtFunction>([
  ['ip', parserOf(parseIp)],
  ['decimal', parserOf(parseDecimal)],
  ['datetime', parserOf(parseDatetime)],
  ['duration', parserOf(parseDuration)],

  ['isIpv4', method(IpAddr, 'ipaddr', (ip) => ip.version === 4)],
  ['isIpv6', method(IpAddr, 'ipaddr', (ip) => ip.version === 6)],
  ['isLoopback', method(IpAddr, 'ipaddr', (ip) => ip.isLoopback())],
  ['isMulticast', method(IpAddr, 'ipaddr', (ip) => ip.isMulticast())],
  ['isInRange', method2(IpAddr, IpAddr, 'ipaddr', (ip, range) => ip.isInRange(range))],

  ['lessThan', decimals((a, b) => a.tenThousandths < b.tenThousandths)],
  ['lessThanOrEqual', decimals((a, b) => a.tenThousandths <= b.tenThousandths)],
  ['greaterThan', decimals((a, b) => a.tenThousandths > b.tenThousandths)],
  ['greaterThanOrEqual', decimals((a, b) => a.tenThousandths >= b.tenThousandths)],

  ['offset', method2(Datetime, Duration, 'datetime and duration', (at, by) => at.offset(by))],
  ['durationSince', method2(Datetime, Datetime, 'datetime', (at, from) => at.durationSince(from))],
  ['toDate', method(Datetime, 'datetime', (at) => at.toDate())],
  ['toTime', method(Datetime, 'datetime', (at) => at.toTime())],

  ['toMilliseconds', method(Duration, 'duration', (span) => span.ms)],
  ['toSeconds', method(Duration, 'duration', (span) => divideLong(span.ms, 1_000))],
  ['toMinutes', method(Duration, 'duration', (span) => divideLong(span.ms, 60_000))],
  ['toHours', method(Duration, 'duration', (span) => divideLong(span.ms, 3_600_000))],
  ['toDays', method(Duration, 'duration', (span) => divideLong(span.ms, 86_400_000))],
])

type Type<T> = abstract new (...args: never[]) => T

function parserOf(parse: (text: string) => Value | CedarError): ExtFunction {
  return {
    arity: 1,
    call: (arg) => (typeof arg === 'string' ? parse(arg) : mistyped(arg, 'string')),
  }
}

function method<T>(type: Type<T>, name: string, run: (self: T) => Value | CedarError): ExtFunction {
  return {
    arity: 1,
    call: (arg) => (arg instanceof type ? run(arg) : mistyped(arg, name)),
  }
}

function method2<A, B>(
  typeA: Type<A>,
  typeB: Type<B>,
  name: string,
  run: (self: A, other: B) => Value | CedarError,
): ExtFunction {
  return {
    arity: 2,
    call: (a, b) => {
      if (!(a instanceof typeA)) return mistyped(a, name)
      return b instanceof typeB ? run(a, b) : mistyped(b, name)
    },
  }
}

function decimals(compare: (a: Decimal, b: Decimal) => boolean): ExtFunction {
  return method2(Decimal, Decimal, 'decimal', compare)
}
