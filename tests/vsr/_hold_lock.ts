// Holds the lock file named by the first argument until it is killed.

// deno-lint-ignore-file no-console -- the test reads it

import { JobLock } from "../../src/vsr/job_lock.ts";

const lock = await JobLock.take(Deno.args[0]!);
console.log(lock ? "held" : "taken");
setTimeout(() => {}, 600_000);
