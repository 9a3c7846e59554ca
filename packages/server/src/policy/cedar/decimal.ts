/** Cedar's `decimal`: four digits after the point, stored as an i64 of ten-thousandths. */
import { toLong } from './long.ts'
import { CedarError, ExtValue, type Long } from './value.ts'

export class Decimal extends ExtValue {
  readonly typeName = 'decimal'
  readonly tenThousandths: Long

  constructor(tenThousandths: Long) {
    super()
    this.tenThousandths = tenThousandths
  }

  get key(): string {
    return `d${this.tenThousandths};`
  }
}

const FORM = /^(-?)([0-9]+)\.([0-9]{1,4})$/

export function parseDecimal(text: string): Decimal | CedarError {
  const match = FORM.exec(text)
  if (match === null) return new CedarError('decimal: not of the form 1.2345')
  const [, sign = '', whole = '', fraction = ''] = match
  const digits = BigInt(whole + fraction.padEnd(4, '0'))
  const value = toLong(sign === '-' ? -digits : digits)
  return value === undefined ? new CedarError('decimal: out of range') : new Decimal(value)
}
