import { defineConfig } from 'vitest/config'

/** Long campaigns, and what mostly waits, run with vitest.deep.config.ts. */
const exclude = ['**/node_modules/**', 'test/deep/**', '**/*.slow.test.ts']

/** They change, or ask once and remember, what a process has once. */
const alone = ['test/telemetry/no-credentials.test.ts', 'test/telemetry/trace-propagation.test.ts']

export default defineConfig({
  resolve: { conditions: ['source'] },
  ssr: { resolve: { conditions: ['source'] } },
  test: {
    globalSetup: ['test/compile-cache.setup.ts', 'test/postgres.setup.ts'],
    reporters: ['default', './test/reporter.ts'],
    // One more than the cores that the time is promised for: many tests wait, as the clients they stand for do.
    maxWorkers: 3,
    testTimeout: 30_000,
    hookTimeout: 30_000,
    coverage: { provider: 'v8', include: ['packages/*/src/**/*.ts'] },
    projects: [
      // Beside the sources: they share their modules, which are read once for all files of a worker.
      {
        extends: true,
        test: {
          name: 'units',
          include: ['packages/{contract,server}/src/**/*.test.ts'],
          exclude,
          isolate: false,
          setupFiles: ['test/umask.setup.ts'],
        },
      },
      // Whole daemons. They leave nothing behind in their process, so the next one finds its modules read.
      {
        extends: true,
        test: {
          name: 'journeys',
          include: ['test/**/*.test.ts'],
          exclude: [...exclude, ...alone],
          isolate: false,
          setupFiles: ['test/journeys.setup.ts'],
        },
      },
      // Clients, whose log and whose envelopes belong to the process.
      {
        extends: true,
        test: {
          name: 'clients',
          include: ['packages/{coat,sdk}/src/**/*.test.ts', ...alone],
          exclude,
        },
      },
    ],
  },
})
