/** What `promise` gives, or an error once `seconds` have passed: for tests of what must not hang. */
export async function withTimeLimit<T>(promise: Promise<T>, seconds: number): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`no end after ${seconds} s`)), 1000 * seconds);
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
