import { JobFolder } from "../../src/vsr/job_folder.ts";

/** Has jobs save whenever they could, instead of every 30 s; ends when disposed of. */
export function alwaysDue(): Disposable {
  const due = Object.getOwnPropertyDescriptor(JobFolder.prototype, "due")!;
  Object.defineProperty(JobFolder.prototype, "due", { configurable: true, get: () => true });
  return { [Symbol.dispose]: () => void Object.defineProperty(JobFolder.prototype, "due", due) };
}
