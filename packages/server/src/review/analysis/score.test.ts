import { expect, test } from 'vitest'
import type { Severity } from './finding.ts'
import { riskScore } from './score.ts'

function finding(rule_id: string, severity: Severity, confidence: number) {
  return { rule_id, severity, confidence }
}

test.each<[string, number, ReturnType<typeof finding>[]]>([
  ['nothing', 0, []],
  [
    'two mediums of different rules',
    20,
    [finding('A', 'medium', 0.9), finding('B', 'medium', 0.9)],
  ],
  ['one high we are sure of', 50, [finding('A', 'high', 0.8)]],
  ['one critical we are sure of', 80, [finding('A', 'critical', 0.9)]],
  ['one high below the floor', 21, [finding('A', 'high', 0.69)]],
  ['one critical below the floor', 41, [finding('A', 'critical', 0.69)]],
  ['exactly sure enough', 80, [finding('A', 'critical', 0.7)]],
  ['half is rounded up', 2, [finding('A', 'low', 0.5)]],
  ['a third of a low is nothing', 0, [finding('A', 'low', 0.1)]],
  // 0.108, then half of it twice, then nothing: 1 − 0.892 × 0.946² = 20.17…
  ['the fourth of one rule', 20, Array.from({ length: 9 }, () => finding('A', 'medium', 0.9))],
  // 1 − 0.4 × 0.7² = 80.4
  ['three criticals of one rule', 80, Array.from({ length: 3 }, () => finding('A', 'critical', 1))],
  [
    'criticals of many rules',
    100,
    Array.from({ length: 20 }, (_, index) => finding(`R${index}`, 'critical', 1)),
  ],
])('runtime §20.10: the score of %s is %i', (_what, score, findings) => {
  expect(riskScore(findings)).toBe(score)
})
