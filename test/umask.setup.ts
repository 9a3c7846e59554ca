/** A daemon makes its whole process private; the next test file of the same worker begins as a process does. */
process.umask(0o022)
