import { defineConfig } from 'vitest/config'

/** Long campaigns (fuzzing, oracle comparison, crash loops) and what mostly waits (`*.slow.test.ts`). CI runs them; `npm test` does not. */
export default defineConfig({
  resolve: { conditions: ['source'] },
  ssr: { resolve: { conditions: ['source'] } },
  test: {
    globalSetup: ['test/compile-cache.setup.ts', 'test/postgres.setup.ts'],
    include: ['test/deep/**/*.test.ts', '**/*.slow.test.ts'],
    exclude: ['**/node_modules/**'],
    reporters: ['default', './test/reporter.ts'],
    testTimeout: 600_000,
    hookTimeout: 60_000,
    fileParallelism: true,
    maxWorkers: 2,
  },
})
