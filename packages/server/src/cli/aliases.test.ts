import { expect, test } from 'vitest'
import { inOurWords } from './aliases.ts'

test.each([
  ['unlock', 'unseal'],
  ['store openai/key --value-stdin', 'cred add openai/key --value-stdin'],
  ['agent register scout', 'agent add scout'],
  ['--home /h --json agent remove scout', '--home /h --json agent revoke scout'],
  ['migrate-env .env', 'cred import --format env .env'],
  ['list', 'cred list'],
  ['daemon start --dev', 'up --dev'],
  ['agent list', 'agent list'],
  ['--home list status', '--home list status'],
  ['', ''],
])('vault §28.54: "%s" means "%s"', (theirs, ours) => {
  const words = (text: string) => text.split(' ').filter((word) => word !== '')
  expect(inOurWords(words(theirs))).toEqual(words(ours))
})
