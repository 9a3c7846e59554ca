import { defineConfig } from 'vitest/config'

export default defineConfig({
  resolve: { conditions: ['source'] },
  ssr: { resolve: { conditions: ['source'] } },
  test: {
    include: ['packages/*/src/**/*.test.ts', 'test/**/*.test.ts'],
    exclude: ['**/node_modules/**', 'test/deep/**', '**/*.slow.test.ts'],
    globalSetup: ['test/postgres.setup.ts'],
    reporters: ['default', './test/reporter.ts'],
    // One more than the cores that the time is promised for: many tests wait, as the clients they stand for do.
    maxWorkers: 3,
    testTimeout: 30_000,
    hookTimeout: 30_000,
    coverage: { provider: 'v8', include: ['packages/*/src/**/*.ts'] },
  },
})
