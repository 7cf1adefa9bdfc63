/** A moment in the life of a file: about to be written, content written, content synced to disk, in place, gone. */
export type WritePoint = "begin" | "written" | "synced" | "renamed" | "removed";

let observer: ((point: WritePoint, path: string) => void) | null = null;

/** Has `next` called at each point of each file that is written safely; null ends that. For tests of being killed. */
export function observeWrites(next: ((point: WritePoint, path: string) => void) | null): void {
  observer = next;
}

/** To be called where a file reaches a point. */
export function noteWrite(point: WritePoint, path: string): void {
  observer?.(point, path);
}
