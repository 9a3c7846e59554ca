import { expect, test } from 'vitest'
import { environmentOf, givenVariable } from './environment.ts'

const OWN = {
  PATH: '/bin',
  LANG: 'C',
  TERM: '',
  OPENAI_API_KEY: 'sk-marker',
  SECRET: 'x',
  HOME: '/root',
}

test('an agent inherits how to find programs and speak to a terminal, and nothing else', () => {
  const environment = environmentOf({
    own: OWN,
    run: { RUN_ID: 'r1', WORK_DIR: '/w' },
    pod: { ENVPOD_POD_NAME: 'pod' },
    home: '/w',
    extra: { TZ: 'UTC' },
  })
  expect(environment).toEqual({
    PATH: '/bin',
    LANG: 'C',
    TZ: 'UTC',
    HOME: '/w',
    RUN_ID: 'r1',
    WORK_DIR: '/w',
    ENVPOD_POD_NAME: 'pod',
  })
})

test('a variable is given with its value, or by name alone for the value it has here', () => {
  expect(givenVariable('A=b=c', OWN)).toEqual(['A', 'b=c'])
  expect(givenVariable('A=', OWN)).toEqual(['A', ''])
  expect(givenVariable('SECRET', OWN)).toEqual(['SECRET', 'x'])
  for (const wrong of ['', '=x', '1A=x', 'A B=x', 'MISSING']) {
    expect(() => givenVariable(wrong, OWN)).toThrow(expect.objectContaining({ code: 'USAGE' }))
  }
})
