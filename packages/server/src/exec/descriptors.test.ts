import { type StdioOptions, spawnSync } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { describe, expect, onTestFinished, test } from 'vitest'
import { covered, passedOn } from './descriptors.ts'

describe.skipIf(process.platform !== 'linux')('descriptors of this process', () => {
  test('are not passed on, nor closed', () => {
    const open = openSync('/etc/group', 'r')
    onTestFinished(() => closeSync(open))
    expect(passedOn()).not.toContain(open)
  })

  test('that would be passed on lead nowhere in a child, and stay what they are here', () => {
    const group = openSync('/etc/group', 'r')
    const nothing = openSync('/dev/null', 'r+')
    onTestFinished(() => [group, nothing].forEach((fd) => void closeSync(fd)))
    const inner = `
      import { spawnSync } from 'node:child_process'
      import { openSync, readFileSync } from 'node:fs'
      import { covered, passedOn } from ${JSON.stringify(new URL('./descriptors.ts', import.meta.url).href)}
      const passed = passedOn()
      const stdio = covered(['ignore', 'inherit', 'inherit'], passed, openSync('/dev/null', 'r+'))
      const { status } = spawnSync('/bin/sh', ['-c', 'readlink /proc/self/fd/90'], { stdio })
      console.log(JSON.stringify([passed.includes(90), status, readFileSync(90, 'latin1').startsWith('root:')]))`
    const given: StdioOptions = ['ignore', 'pipe', 'inherit', ...Array(87).fill('ignore'), group]
    const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', inner], {
      stdio: given,
      encoding: 'utf8',
    })
    expect(stdout).toBe('/dev/null\n[true,0,true]\n')
  })
})

test('what a child is given stays where it is', () => {
  expect(covered(['a', 'b', 'c', 'd'], [2, 3, 5], 9)).toEqual(['a', 'b', 'c', 'd', 'ignore', 9])
  expect(covered(['a'], [], 9)).toEqual(['a'])
})
