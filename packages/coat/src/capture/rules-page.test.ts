import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { CAPTURE_MODES } from '../aot.ts'
import { isSensitiveKey } from './sensitive-key.ts'
import { RULE_NAMES } from './token-rules.ts'

const page = readFileSync(join(import.meta.dirname, '../../../../docs/capture.md'), 'utf8')

function section(title: string): string {
  return page.split(/^## /m).find((part) => part.startsWith(title)) ?? ''
}

/** Names between backticks in the first column of a table. */
function firstColumn(text: string): string[] {
  const cells = [...text.matchAll(/^\| (`[^|]*`) \|/gm)].map((row) => row[1] as string)
  return cells.flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map((name) => name[1] as string))
}

test('the page names every rule and every mode, and no other', () => {
  expect(firstColumn(section('Redacted by shape')).sort()).toEqual([...RULE_NAMES].sort())
  expect(firstColumn(section('Modes'))).toEqual([...CAPTURE_MODES])
})

test('every name that the page calls sensitive is', () => {
  const quoted =
    section('Redacted by name')
      .match(/^> .*$/gm)
      ?.join(' ') ?? ''
  const names = quoted
    .replaceAll('>', '')
    .split(',')
    .map((name) => name.trim().replace(/ +/g, ' '))
  expect(names.length).toBeGreaterThan(50)
  expect(names.filter((name) => !isSensitiveKey(name))).toEqual([])
})
