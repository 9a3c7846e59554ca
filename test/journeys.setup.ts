/** A daemon makes its whole process private, and tests move its clock; the next file of a worker begins as a process does. */
import { reset } from './harness/clock.ts'

process.umask(0o022)
reset()
