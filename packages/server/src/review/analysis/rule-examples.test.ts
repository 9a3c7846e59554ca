import { describe, expect, test } from 'vitest'
import { CATEGORIES } from './finding.ts'
import { findingsOf } from './findings.ts'
import { RULES } from './rules/index.ts'
import { subjectOf } from './subject.ts'
import { aroundOf, toolOf } from './test-tool.ts'

describe.each(RULES)('$id $title', (rule) => {
  test('runtime §20.10: finds its example', () => {
    const { hit } = rule.examples
    const found = findingsOf(subjectOf(toolOf(hit.tool)), aroundOf(hit), [rule])
    expect(found).not.toEqual([])
    for (const finding of found) {
      expect(finding.finding_id).toMatch(/^[A-Z]{2}-\d{3}-[0-9a-f]{8}$/)
      expect(finding.rule_id).toBe(rule.id)
      expect(CATEGORIES).toContain(finding.category)
    }
  })

  test('runtime §20.10: does not find what only looks like it', () => {
    const { nearMiss } = rule.examples
    expect(findingsOf(subjectOf(toolOf(nearMiss.tool)), aroundOf(nearMiss), [rule])).toEqual([])
  })
})

test('rules have ids of their own and say why and what to do', () => {
  expect(new Set(RULES.map(({ id }) => id)).size).toBe(RULES.length)
  for (const { title, reason, recommendation } of RULES) {
    for (const text of [title, reason, recommendation]) expect(text.length).toBeGreaterThan(8)
  }
})
