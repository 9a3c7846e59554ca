import { Command } from 'commander'
import { expect, test } from 'vitest'
import { mcpAddCommand } from './mcp-add.ts'

test('no option is one that Node takes for itself, wherever it stands', () => {
  const mcp = new Command()
  mcpAddCommand(mcp, () => () => Promise.resolve())
  const options = mcp.commands.flatMap(({ options }) => options.map(({ long }) => long))
  expect(options).toContain('--env-from')
  // Node reads the file into its own environment, and ends before us where there is none.
  for (const taken of ['--env-file', '--env-file-if-exists']) expect(options).not.toContain(taken)
})
