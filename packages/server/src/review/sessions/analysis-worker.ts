/** The far end of `analysis-threads.ts`: analyses one tool after another, in a thread that can be ended at any time. */
import { parentPort } from 'node:worker_threads'
import { analyse } from '../analysis/analyse.ts'
import { documentOf } from '../normalise.ts'
import type { AnalysisAnswer, AnalysisTask } from './analysis-threads.ts'

parentPort?.on('message', ({ toolJson, earlierJson, around }: AnalysisTask) => {
  parentPort?.postMessage(answer())

  function answer(): AnalysisAnswer {
    try {
      const earlier = earlierJson.map(documentOf)
      return { analysis: analyse(documentOf(toolJson), { ...around, earlier }) }
    } catch (error) {
      return { error: error instanceof Error ? (error.stack ?? error.message) : String(error) }
    }
  }
})
