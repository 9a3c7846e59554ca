import { expect, test } from 'vitest'
import { shellBlocks, typeCommands } from '../harness/typed-commands.ts'

test('every command of the quick start of reviews works as written', async () => {
  const [start = '', commands = ''] = shellBlocks('docs/review.md', 'Quick start')
  await typeCommands({ start, commands }, ({ code, stdout, stderr }) => {
    expect(stderr).not.toMatch(/^[A-Z_]+: /m)
    expect(code).toBe(0)
    expect(stdout).toMatch(/^tide_table of sea\.example$/m)
    expect(stdout).toMatch(/^signature +\S{90,}$/m)
    expect(stdout).toMatch(/critical +MC-007/)
    expect(stdout).toMatch(/^CHANGED SINCE rev_\w+, SIGNED/m)
    expect(stdout).toMatch(/^ +6 .* signed +operator:owner/m)
  })
})
