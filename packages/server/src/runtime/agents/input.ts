/** What an agent is asked, out of the bodies that ask it. Pure. */
import { invalidFields } from './definition.ts'

/** A model needs to be told something. */
const NO_INPUT = 'Carry out your task.'

/**
 * `input` is text, or anything that is then written as JSON; `parameters` go below it.
 *
 * @returns undefined where the body says neither.
 * @throws VestryError VALIDATION_ERROR
 */
export function readInput(body: Readonly<Record<string, unknown>>): string | undefined {
  const { input = null, parameters = null } = body
  if (parameters !== null && (typeof parameters !== 'object' || Array.isArray(parameters)))
    throw invalidFields([{ path: 'parameters', problem: 'must be an object' }])
  const parts = [
    ...(input === null ? [] : [typeof input === 'string' ? input : JSON.stringify(input)]),
    ...(parameters === null || Object.keys(parameters).length === 0
      ? []
      : [JSON.stringify(parameters, undefined, 2)]),
  ]
  const text = parts.join('\n\n')
  if (!text.isWellFormed()) throw invalidFields([{ path: 'input', problem: 'must be well-formed' }])
  return text === '' ? undefined : text
}

export function orNothing(input: string | undefined): string {
  return input === undefined || input === '' ? NO_INPUT : input
}
