import { expect, test } from 'vitest'
import { resultOf } from '../agent.test-kit.ts'
import { splitAt, textFinder } from './find-text.ts'

test('finds and splits as the platform does', () => {
  let state = 11
  const random = (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
  const text = (length: number) => Array.from({ length }, () => 'ab'.charAt(random(2))).join('')
  for (let n = 0; n < 2_000; n++) {
    const part = text(1 + random(14))
    const whole = `${text(random(60))}${random(2) === 0 ? part + part : ''}${text(random(60))}`
    const from = random(10)
    expect(textFinder(part)(whole, from)).toBe(whole.indexOf(part, from))
    expect(splitAt(whole, part)).toEqual(whole.split(part))
  }
})

test('runtime §11.8: texts chosen to be searched for ever are not', async () => {
  const body = `let a = "aaaaaaaaaaaaaaaa"
    for _i in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12] { a = a + a }
    let part = a + "b" + a
    let whole = a + a + a + a
    return [contains(whole, part), part in whole, len(split(whole, part))]`
  expect(await resultOf(body)).toEqual([false, false, 1])
})

test('runtime §11.8: one operation that would keep everybody waiting ends the run, and cannot be caught', async () => {
  const grown = (first: string, turns: number) =>
    `let x = ${first}\n for _i in [${'0,'.repeat(turns)}] { x = x + x }\n`
  const bodies = [
    `${grown('[1]', 18)} try { contains(x, 2); } catch (e) { 1; }`,
    `${grown('[1]', 18)} try { json_stringify(x); } catch (e) { 1; }`,
    `${grown('"aaaaaaaaaaaaaaaa"', 17)} try { len(x); } catch (e) { 1; }`,
    `${grown('"1,1,1,1,"', 17)} try { json_parse("[" + x + "1]"); } catch (e) { 1; }`,
  ]
  for (const body of bodies)
    await expect(resultOf(body)).rejects.toMatchObject({
      code: 'DSL_LIMIT',
      message: expect.stringContaining('one operation'),
    })
})
