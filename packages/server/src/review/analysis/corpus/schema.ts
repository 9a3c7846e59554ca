/** JSON Schema in few words, as an author writes it who wants to pass a review: everything has a bound. */
import type { TokenObject } from '../../../json/raw-number.ts'

/** The parameters of a tool: those it needs, then those it may be given. */
export function input(needed: TokenObject, optional: TokenObject = {}): TokenObject {
  return {
    type: 'object',
    properties: { ...needed, ...optional },
    required: Object.keys(needed),
    additionalProperties: false,
  }
}

/** Free text that somebody reads. */
export function text(description: string, maxLength: number): TokenObject {
  return { type: 'string', description, maxLength }
}

/** Text of which the form is known. */
export function shaped(description: string, pattern: string, maxLength: number): TokenObject {
  return { type: 'string', description, pattern, maxLength }
}

export function choice(description: string, ...values: readonly string[]): TokenObject {
  return { type: 'string', description, enum: values }
}

export function whole(description: string, minimum: number, maximum: number): TokenObject {
  return { type: 'integer', description, minimum, maximum }
}

export function number(description: string, minimum: number, maximum: number): TokenObject {
  return { type: 'number', description, minimum, maximum }
}

export function flag(description: string): TokenObject {
  return { type: 'boolean', description, default: false }
}

export function list(description: string, items: TokenObject, maxItems: number): TokenObject {
  return { type: 'array', description, items, maxItems }
}

export function date(description: string): TokenObject {
  return shaped(description, '^[0-9]{4}-[0-9]{2}-[0-9]{2}$', 10)
}

export function moment(description: string): TokenObject {
  return { type: 'string', description, format: 'date-time', maxLength: 40 }
}

/** A path below a root that the server chose: no leading slash, no segment that begins with a dot. */
export function pathBelow(description: string): TokenObject {
  return shaped(
    description,
    '^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}){0,20}$',
    1_024,
  )
}

/** Words to look for: letters, digits and a little punctuation. */
export function words(description: string): TokenObject {
  return shaped(description, "^[A-Za-z0-9 .,'_-]{1,200}$", 200)
}
