/** Something could not be measured: told in one line, without a stack. */
export class BenchError extends Error {}

/** The command line was wrong: exit status 2. */
export class UsageError extends BenchError {}
